"""Trains and saves models with the real Keras; run in a process of its own.

    python keras_models.py INPUTS.npz DIRECTORY

INPUTS.npz holds `scaled` and `raw` rows (missing values are 0) and `labels` (0 or 1). Each model is
saved, read back by Keras, and what that gives for the rows goes into DIRECTORY/expected.npz under
the file's name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import numpy as np

L = keras.layers


def small_models(width: int) -> dict[str, keras.Model]:
    """The classic five: binary, on scaled rows."""
    plain = keras.Sequential(
        [
            L.Input((width,)),
            L.Dense(24, activation="relu"),
            L.Dropout(0.2),
            L.Dense(12, activation="relu"),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    normalised = keras.Sequential(
        [
            L.Input((width,)),
            L.Dense(16, use_bias=False),
            L.BatchNormalization(),
            L.Activation("relu"),
            L.Dense(8, activation="relu"),
            L.BatchNormalization(scale=False),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    row = L.Input((width,))
    x = L.Dense(16)(L.GaussianNoise(0.05)(L.Flatten()(row)))
    x = L.BatchNormalization(center=False)(L.ReLU()(x))
    functional = keras.Model(row, L.Softmax()(L.Dense(2)(L.Dense(6)(x))))
    row = L.Input((width,))
    x = L.ActivityRegularization(l2=1e-6)(L.Dense(10, activation="relu")(row))
    chain = keras.Model(row, L.Activation("sigmoid")(L.Dense(1)(x)))
    shallow = keras.Sequential([L.Input((width,)), L.Dense(1, activation="sigmoid")])
    return {
        "model_0.h5": plain,
        "model_1.keras": normalised,
        "model_2.h5": functional,
        "model_3.keras": chain,
        "model_4.keras": shallow,
        "model_5.keras": functional,
        "model_6.h5": normalised,
    }


def refused_models(width: int) -> dict[str, keras.Model]:
    """Models that must not be taken over."""

    @keras.saving.register_keras_serializable(package="theirs")
    class Dense(L.Dense):
        pass

    def last(*layers: keras.Layer, end: str = "sigmoid", units: int = 1) -> keras.Model:
        return keras.Sequential([L.Input((width,)), *layers, L.Dense(units, activation=end)])

    row = L.Input((width,))
    left, right = L.Dense(4)(row), L.Dense(4)(row)
    branches = keras.Model(row, L.Dense(1, activation="sigmoid")(L.Add()([left, right])))
    row = L.Input((width,))
    shared = L.Dense(width)
    twice = keras.Model(row, L.Dense(1, activation="sigmoid")(shared(shared(row))))
    row = L.Input((width,))
    awake = L.Dropout(0.5)(L.Dense(4)(row), training=True)
    return {
        "lambda.keras": last(L.Lambda(lambda x: x * 2)),
        "lambda.h5": last(L.Lambda(lambda x: x * 2)),
        "foreign.keras": last(Dense(4)),
        "foreign.h5": last(Dense(4)),
        "tanh.keras": last(L.Dense(4, activation="tanh")),
        "own_activation.keras": last(L.Dense(4, activation=lambda x: x)),
        "relu6.keras": last(L.ReLU(max_value=6.0)),
        "leaky.h5": last(L.LeakyReLU()),
        "logits.keras": last(L.Dense(4), end="linear"),
        "sigmoids.keras": last(end="sigmoid", units=4),
        "inside.keras": last(L.Dense(4, activation="sigmoid")),
        "half.keras": last(L.Dense(4, dtype="mixed_float16")),
        "branches.keras": branches,
        "twice.h5": twice,
        "awake.keras": keras.Model(row, L.Dense(1, activation="sigmoid")(awake)),
        "nested.keras": last(keras.Sequential([L.Input((width,)), L.Dense(3)])),
        "series.keras": keras.Sequential([L.Input((4, 3)), L.Flatten(), L.Dense(1, "sigmoid")]),
        "foreign_loss.keras": last(L.Dense(3)),
    }


def main(inputs: str, directory: str) -> None:
    keras.utils.set_random_seed(3)
    data = np.load(inputs)
    scaled, raw, labels = data["scaled"], data["raw"], data["labels"]
    out = Path(directory)
    expected: dict[str, np.ndarray] = {}

    def keep(name: str, model: keras.Model, rows: np.ndarray) -> None:
        model.save(out / name)
        read = keras.saving.load_model(out / name)
        expected[name] = np.asarray(read(rows, training=False))

    def fit(model: keras.Model, rows: np.ndarray, wanted: np.ndarray) -> None:
        binary = model.output_shape[1] == 1
        loss = "binary_crossentropy" if binary else "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(0.01), loss)
        model.fit(rows, wanted, batch_size=512, epochs=1, verbose=0)

    width = scaled.shape[1]
    fitted: set[int] = set()
    for name, model in small_models(width).items():
        if id(model) not in fitted:
            fit(model, scaled, labels)
            fitted.add(id(model))
        keep(name, model, scaled)
    # one that is as sure as single precision can be; beyond that Keras' own rounding shows
    sure = keras.saving.load_model(out / "model_0.h5")
    given = np.clip(expected["model_0.h5"].astype(np.float64), 1e-6, 1 - 1e-6)
    factor = 40 / np.abs(np.log(given / (1 - given))).max()
    last = sure.layers[-1]
    last.set_weights([factor * weight for weight in last.get_weights()])
    keep("sure.keras", sure, scaled)

    for name, classes in (("eight.keras", 8), ("three.h5", 3)):
        model = keras.Sequential(
            [L.Input((width,)), L.Dense(12, "relu"), L.Dense(classes, "softmax")]
        )
        keep(name, model, scaled)

    adapted = L.Normalization()
    adapted.adapt(raw)
    given = L.Normalization(mean=raw.mean(axis=0), variance=raw.var(axis=0) + 1e-3)
    same = L.Normalization(mean=0.5, variance=4.0)
    for name, scaling in (("adapted.keras", adapted), ("given.h5", given), ("same.keras", same)):
        model = keras.Sequential(
            [L.Input((width,)), scaling, L.Dense(12, "relu"), L.Dense(1, "sigmoid")]
        )
        keep(name, model, raw)

    for name, model in refused_models(width).items():
        if name == "foreign_loss.keras":
            model.compile("sgd", lambda wanted, given: keras.ops.mean(given - wanted))
        model.save(out / name)
    sure.save_weights(out / "only.weights.h5")
    np.savez(out / "expected.npz", **expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
