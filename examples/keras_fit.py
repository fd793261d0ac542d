"""A loss in `model.compile`, on any backend of Keras: KERAS_BACKEND=torch python examples/keras_fit.py"""

import keras
from sklearn.datasets import load_digits

import lossary as L
from lossary.keras import KerasLoss


def main() -> None:
    keras.utils.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1) / 16
    x_train, y_train, x_test, y_test = x[:1400], labels[:1400], x[1400:], labels[1400:]

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10),  # logits: losses take the softmax themselves
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss=KerasLoss(L.FocalLoss("multiclass", gamma=2.0)),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    model.fit(x_train, y_train, batch_size=100, epochs=10, verbose=2)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"test accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
