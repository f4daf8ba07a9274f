import numpy as np
import pytest

from echoic.baselines.classification import number_baselines, resampled, text_baselines


def test_text_baselines_learn_what_can_be_learnt():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 120)
    words = [["sun", "warm"], ["rain", "wet"], ["snow", "cold"]]
    texts = [
        " ".join([*random.choice(["a", "the", "of", "on", "it", "is"], 5), *random.permutation(words[c])])
        for c in labels
    ]
    found = text_baselines(texts[:90], labels[:90], 3)
    assert set(found) == {"majority", "bag_of_words_logistic"}
    probabilities = found["bag_of_words_logistic"].probabilities(texts[90:])
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (probabilities.argmax(axis=1) == labels[90:]).all()
    shares = found["majority"].probabilities(texts[90:])
    assert shares[0] == pytest.approx(np.bincount(labels[:90]) / 90)


def test_places_count_in_texts_of_one_length():
    random = np.random.default_rng(2)
    texts = ["".join(random.choice(list("ACGT"), 11)) for _ in range(300)]
    labels = np.array([int(text[5] in "AC") for text in texts])
    found = text_baselines(texts[:250], labels[:250], 2)
    right = {
        name: (baseline.probabilities(texts[250:]).argmax(axis=1) == labels[250:]).mean()
        for name, baseline in found.items()
    }
    assert right["one_hot_logistic"] == 1
    assert right["bag_of_words_logistic"] < 0.9


def test_number_baselines_and_a_class_that_is_not_there():
    random = np.random.default_rng(3)
    labels = random.choice([0, 2], size=60)
    sequences = [np.sin(np.linspace(0, 3 + 3 * c, random.integers(5, 40)))[:, None].astype(np.float32) for c in labels]
    found = number_baselines(sequences[:40], labels[:40], 3)
    for name in ("nearest_neighbour", "resampled_logistic"):
        probabilities = found[name].probabilities(sequences[40:])
        assert probabilities.shape == (20, 3)
        assert (probabilities[:, 1] == 0).all()
        assert (probabilities.argmax(axis=1) == labels[40:]).all()


def test_resampling_is_linear_interpolation():
    random = np.random.default_rng(4)
    sequences = [random.normal(size=(n, 2)).astype(np.float32) for n in (1, 4, 13)] + [np.zeros((0, 2), np.float32)]
    table = resampled(sequences, 7).reshape(4, 7, 2)
    for values, row in zip(sequences[:3], table, strict=False):
        places = np.linspace(0, len(values) - 1, 7)
        for feature in range(2):
            assert row[:, feature] == pytest.approx(np.interp(places, range(len(values)), values[:, feature]), abs=1e-6)
    assert (table[3] == 0).all()
