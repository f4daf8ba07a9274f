/* The C interface of the engine: plain structs and functions, no Python, no torch.
 *
 * A plan is a step laid out in memory (see src/echoic/program/plan.py). A run executes it over packed sequences: the
 * rows of a batch are sorted by length, longest first, so that the rows that take part in step s are the first
 * active[s] ones, and the row of rank r lies at offsets[s] + r in every packed array.
 *
 * Every function that can fail returns NULL or 0 and writes a sentence to `message`.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct echoic_plan echoic_plan;
typedef struct echoic_session echoic_session;

/* How a session holds its matrices: as they are, or rounded to whole numbers of eight bits (ECHOIC_FLOAT32 alone). */
enum echoic_weights { ECHOIC_WEIGHTS_AS_GIVEN = 0, ECHOIC_WEIGHTS_INT8 = 1 };

/* Of all numbers of a plan. ECHOIC_BFLOAT16: float32, but what its matmuls multiply is rounded to bfloat16;
 * ECHOIC_BFLOAT16_PAIRS: to the sum of two, where this is faster. (Of ECHOIC_FLOAT32 it may be taken apart into three, or
 * into digits of 24 bits beside the largest number of a row or column.) */
enum echoic_type { ECHOIC_FLOAT32 = 0, ECHOIC_FLOAT64 = 1, ECHOIC_BFLOAT16 = 2, ECHOIC_BFLOAT16_PAIRS = 3 };

/* Where a port of the plan lies. */
enum echoic_role {
    ECHOIC_PACKED = 0,        /* rows at offsets[s] + rank of `data` */
    ECHOIC_ENTERING = 1,      /* state `index` before the step */
    ECHOIC_LEAVING = 2,       /* state `index` after the step */
    ECHOIC_GRADIENT_IN = 3,   /* gradient of state `index` after the step */
    ECHOIC_GRADIENT_OUT = 4,  /* gradient of state `index` before the step */
};

typedef struct {
    int32_t role, index;
    void* data;  /* of ECHOIC_PACKED: [rows, stride] */
    int64_t stride;
} echoic_port;

/* A part of the state, in the order of ranks. */
typedef struct {
    int64_t width;
    const void* initial; /* [batch, width] before the first step */
    const void* fresh;   /* [batch, width] what a reset gives; may be NULL without resets */
    void* kept;          /* [rows, stride] after each step; NULL: only the last one is held */
    int64_t stride;
    void* last;          /* [batch, width] after the last step of each row; may be NULL */
} echoic_state;

/* The gradient of a part of the state. */
typedef struct {
    int64_t width;
    const void* last;    /* [batch, width] gradient of the state after each row's last step; NULL for zeros */
    void* initial;       /* [batch, width] gradient of the state before the first step; or NULL */
    void* fresh;         /* [batch, width] is added to: gradient of what resets gave; may be NULL without resets */
} echoic_gradient;

/* A matrix [K, N] with any strides; or one packed before. */
typedef struct {
    const void* data;
    int64_t row_stride, column_stride;
    const void* packed;
} echoic_matrix;

/* After a backward run: sums over all rows of packed arrays, or over all groups that each row consists of. What the plan
 * calls totals is summed in its stages. */
typedef struct {
    const void* left;    /* [rows, groups, left_width] */
    int64_t left_width;
    const void* right;   /* [rows, groups, right_width]; NULL: state `state` before the row's step */
    int64_t right_width;
    int32_t state;
    void* outer;         /* [left_width, right_width] sum of the outer products; or NULL */
    void* columns;       /* [left_width] sum of the left rows; or NULL */
    int64_t groups;
} echoic_sum;

typedef struct {
    int64_t steps, batch, rows;
    const int64_t* offsets;  /* [steps] */
    const int64_t* active;   /* [steps], never growing */
    const uint8_t* cleared;  /* [rows] 1 where the state is fresh before the step; or NULL */
    int32_t backward;        /* from the last step to the first */
    int32_t threads;
    echoic_port* ports;      size_t port_count;
    echoic_state* states;    size_t state_count;
    echoic_gradient* gradients; size_t gradient_count;
    const void** vectors;    size_t vector_count;
    echoic_matrix* matrices; size_t matrix_count;
    echoic_sum* sums;        size_t sum_count;
    void** totals;           size_t total_count; /* [width] each; are overwritten */
} echoic_run;

int echoic_opcode(const char* name);
const char* echoic_instruction_set(void);
int echoic_choose_instruction_set(const char* name, char* message, size_t size); /* "" for the best there is */
int echoic_instruction_set_count(void);
const char* echoic_instruction_set_name(int index);
int echoic_has_bfloat16(void); /* whether the instruction set in use can execute plans of ECHOIC_BFLOAT16 and ECHOIC_BFLOAT16_PAIRS */

/* Run by these functions instead of own threads: GOMP_parallel of the OpenMP runtime that is loaded already. */
void echoic_use_openmp(void* gomp_parallel);

echoic_plan* echoic_plan_new(const int64_t* code, size_t count, const double* constants, size_t constant_count,
                             int type, char* message, size_t size);
void echoic_plan_free(echoic_plan* plan);
size_t echoic_packed_bytes(const echoic_plan* plan, size_t matrix); /* under the current instruction set; 0: there is no such matrix, or it has no such numbers */
/* Of a matrix whose packed bytes are not 0. */
void echoic_pack(const echoic_plan* plan, size_t matrix, const echoic_matrix* from, void* packed);
/* Several runs side by side: the two directions of a layer. Each on its own threads, all together on `threads`. */
int echoic_execute(const echoic_plan* const* plans, const echoic_run* runs, size_t count, int threads, char* message,
                   size_t size);

/* Streaming: `batch` sequences, one step at a time, without allocation. The plan's ports given from outside are the
 * input, the output, each state before the step, each state after it. Parameters are copied, matrices as `weights`
 * says; the state begins as zeros. A session is used by one thread at a time; it works on up to `threads` where a step is worth it. */
echoic_session* echoic_session_new(const echoic_plan* plan, int64_t batch, int threads, enum echoic_weights weights,
                                   const void* const* vectors, size_t vector_count, const echoic_matrix* matrices,
                                   size_t matrix_count, char* message, size_t size);
void echoic_session_free(echoic_session* session);
void echoic_session_step(echoic_session* session, const void* input, void* output);
void* echoic_session_state(echoic_session* session, size_t index); /* [batch, width]; moves with every step */
int echoic_session_type(const echoic_session* session);              /* echoic_type */
int64_t echoic_session_width(const echoic_session* session, size_t port); /* 0: there is no such port */

#ifdef __cplusplus
}
#endif
