// A few threads that work on one call together.
#pragma once

namespace echoic {

// Calls task(context, i) once for every i in [0, count), on so many threads, the caller's among them; returns when all
// are done. Tasks may not wait for each other.
void run_together(int count, int threads, void (*task)(void* context, int index), void* context);

// Use GOMP_parallel of an OpenMP runtime that the process has loaded already, whose threads are then the only ones;
// null for threads of our own.
void use_openmp(void* gomp_parallel);

}  // namespace echoic
