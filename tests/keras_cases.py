"""What `lossary.keras.KerasLoss` must do on one backend of Keras; test_keras_adapter.py runs this file once on each."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import lossary as L
from lossary.keras import KerasLoss

BACKEND = keras.backend.backend()

# Keras takes torch tensors to NumPy in the old way
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

if BACKEND == "tensorflow":
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]  # two devices for the test of tf.distribute
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

random = np.random.default_rng(0)
N, C = 12, 4
rows = random.normal(size=(N, 6)).astype("float32")
images = random.normal(size=(N, 5, 6, 2)).astype("float32")
words = random.integers(0, 9, (N, 7))  # 0 is padding
logits = random.normal(size=(N, C)).astype("float32")
labels = random.integers(0, C, N)
flags = random.integers(0, 2, (N, C))
distributions = random.dirichlet(np.ones(C), N).astype("float32")
image_logits = random.normal(size=(N, 5, 6, C)).astype("float32")
image_labels = random.integers(0, C, (N, 5, 6))
boxes = random.random((N, 4)).astype("float32") + 0.5
weight = random.random(N).astype("float32") + 0.1


def tensor(x, dtype=None):
    return keras.ops.convert_to_tensor(x, dtype=dtype)


def number(x):
    return float(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")))


@pytest.fixture(autouse=True)
def _same_start():
    keras.utils.set_random_seed(1)


# --- values ---------------------------------------------------------------------------------------------------------

dice_and_ce = L.DiceLoss("multiclass", per="batch") + 0.5 * L.CrossEntropyLoss(class_weight=(1, 2, 3, 4))
LOSSES = {
    "huber": (L.HuberLoss(delta=0.5), logits, logits[::-1].copy()),
    "bce": (L.BCELoss("multilabel", pos_weight=(1, 2, 3, 4)), logits, flags),
    "hinge": (L.HingeLoss("binary"), logits, flags),
    "cross entropy": (L.CrossEntropyLoss(label_smoothing=0.1), logits, labels),
    "soft cross entropy": (L.CrossEntropyLoss(), logits, distributions),
    "focal on images": (L.FocalLoss("multiclass", class_weight=(1, 2, 3, 4)), image_logits, image_labels),
    "kl": (L.KLDivLoss(), logits, distributions),
    "ciou": (L.CIoULoss(format="cxcywh"), boxes, boxes[::-1].copy()),
    "dice": (L.DiceLoss("multiclass"), image_logits, image_labels),
    "lovasz": (L.LovaszSoftmaxLoss(), image_logits, image_labels),
    "sum": (dice_and_ce, image_logits, image_labels),
    "sum reduction": (L.MSELoss(reduction="sum"), logits, logits[::-1].copy()),
}

every_loss = pytest.mark.parametrize(("loss", "prediction", "target"), LOSSES.values(), ids=LOSSES)


def classes_last(loss):
    if isinstance(loss, L.SumLoss):
        return L.SumLoss(tuple((w, part.replace(class_axis=-1)) for w, part in loss.terms))
    return loss.replace(class_axis=-1) if hasattr(loss, "class_axis") else loss


@every_loss
def test_it_is_the_loss_with_classes_last(loss, prediction, target):
    keras_loss = KerasLoss(loss)
    assert keras_loss.loss == classes_last(loss)
    expected = float(classes_last(loss)(prediction, target))
    assert number(keras_loss(tensor(target), tensor(prediction))) == pytest.approx(expected, rel=1e-5)
    assert number(keras_loss(target, tensor(prediction))) == pytest.approx(expected, rel=1e-5)  # a NumPy target
    assert number(keras_loss(target.tolist(), prediction.tolist())) == pytest.approx(expected, rel=1e-5)
    assert number(keras_loss.call(tensor(target), tensor(prediction))) == pytest.approx(expected, rel=1e-5)


def test_another_class_axis():
    loss = L.CrossEntropyLoss()
    found = KerasLoss(loss, class_axis=1)(image_labels, tensor(np.moveaxis(image_logits, -1, 1)))
    assert number(found) == pytest.approx(number(KerasLoss(loss)(image_labels, tensor(image_logits))), rel=1e-6)


def test_unreduced_values_come_back_unreduced():
    found = KerasLoss(L.CrossEntropyLoss(reduction="none"))(image_labels, tensor(image_logits))
    assert tuple(found.shape) == image_labels.shape


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "plain"),
    [
        (L.CrossEntropyLoss(), logits, labels[:, None], (logits, labels)),
        (L.CrossEntropyLoss(), logits, labels.astype("float32"), (logits, labels)),
        (L.CrossEntropyLoss(), image_logits, image_labels[..., None], (image_logits, image_labels)),
        (L.DiceLoss("multiclass"), image_logits, image_labels[..., None], (image_logits, image_labels)),
        (dice_and_ce, image_logits, image_labels[..., None], (image_logits, image_labels)),
        (L.BCELoss(), logits[:, :1], flags[:, 0], (logits[:, 0], flags[:, 0])),
        (L.BCELoss(), logits[:, 0], flags[:, :1], (logits[:, 0], flags[:, 0])),
        (L.BCELoss(), logits[:, :1], flags[:, :1], (logits[:, 0], flags[:, 0])),
        (L.MSELoss(), logits[:, :1], logits[:, 1], (logits[:, 0], logits[:, 1])),
        (L.DiceLoss("binary"), image_logits[..., :1], image_labels % 2, (image_logits[..., 0], image_labels % 2)),
    ],
)
def test_a_trailing_axis_of_one_is_aligned(loss, prediction, target, plain):
    expected = float(classes_last(loss)(*plain))
    assert number(KerasLoss(loss)(tensor(target), tensor(prediction))) == pytest.approx(expected, rel=1e-5)
    weighted = float(classes_last(loss)(*plain, sample_weight=weight))
    for w in (weight, weight[:, None]):
        found = KerasLoss(loss)(tensor(target), tensor(prediction), sample_weight=w)
        assert number(found) == pytest.approx(weighted, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "prediction", "target"),
    [
        (L.MSELoss(), logits, logits[:, :1]),
        (L.MSELoss(), logits, labels),
        (L.CrossEntropyLoss(), logits, labels[:5, None]),
        (L.BCELoss(), logits[:, :1], flags),
    ],
)
def test_other_shapes_raise(loss, prediction, target):
    with pytest.raises(ValueError, match=f"{type(loss).__name__}: `prediction` has shape .* and `target`"):
        KerasLoss(loss)(tensor(target), tensor(prediction))


def test_large_labels_survive_half_precision():
    """bfloat16 has no 257: as a float the label would be 256."""
    scores = np.zeros((1, 300), "float32")
    scores[0, 257] = 50
    found = KerasLoss(L.CrossEntropyLoss())(np.array([257]), tensor(scores, "bfloat16"))
    assert number(found) == pytest.approx(0, abs=1e-6)
    cast = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="bfloat16")
    assert number(cast(np.array([257]), tensor(scores, "bfloat16"))) == pytest.approx(50, rel=1e-2)


# --- configuration --------------------------------------------------------------------------------------------------


@every_loss
def test_configuration_round_trip(loss, prediction, target):
    keras_loss = KerasLoss(loss, name="mine")
    config = json.loads(json.dumps(keras_loss.get_config()))
    twins = [KerasLoss.from_config(config), keras.losses.deserialize(keras.losses.serialize(keras_loss))]
    for twin in twins:
        assert (twin.loss, twin.class_axis, twin.name) == (keras_loss.loss, -1, "mine")


def test_name_and_repr():
    assert KerasLoss(L.FocalLoss("binary")).name == "focal"
    assert repr(KerasLoss(dice_and_ce)).startswith("KerasLoss(DiceLoss('multiclass', class_axis=-1, per='batch') + 0.5")


@pytest.mark.parametrize("loss", [L.CrossEntropyLoss, "mse", keras.losses.MeanSquaredError()])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(TypeError, match=r"`loss` must be a loss such as lossary\.CrossEntropyLoss\(\); got"):
        KerasLoss(loss)


# --- training -------------------------------------------------------------------------------------------------------


def dense_model(outputs):
    return keras.Sequential([layers.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dense(outputs)])


def image_model(outputs):
    return keras.Sequential([layers.Input((5, 6, 2)), layers.Conv2D(outputs, 3, padding="same")])


def word_model(outputs):
    return keras.Sequential([layers.Input((7,)), layers.Embedding(9, 5, mask_zero=True), layers.Dense(outputs)])


TRAINED = {
    "cross entropy": (L.CrossEntropyLoss(class_weight=(1, 2, 3, 4)), dense_model(C), rows, labels),
    "focal + dice": (L.FocalLoss("multiclass") + 0.5 * L.DiceLoss("multiclass"), image_model(C), images, image_labels),
    "lovasz": (L.LovaszSoftmaxLoss(), image_model(C), images, image_labels[..., None]),
    "kl": (L.KLDivLoss(), dense_model(C), rows, distributions),
    "bce": (L.BCELoss(), dense_model(1), rows, flags[:, 0]),
    "log-cosh": (L.LogCoshLoss(), dense_model(C), rows, logits),
    "ciou": (L.CIoULoss(format="cxcywh"), dense_model(4), rows, boxes),
    "masked words": (L.CrossEntropyLoss(), word_model(C), words, words % C),
}


@pytest.mark.parametrize(("loss", "model", "x", "y"), TRAINED.values(), ids=TRAINED)
def test_trained_saved_and_loaded(loss, model, x, y, tmp_path):
    model = keras.models.clone_model(model)
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=KerasLoss(loss))
    before = model.evaluate(x, y, batch_size=N, verbose=0)
    model.fit(x, y, batch_size=N, epochs=5, verbose=0)
    after = model.evaluate(x, y, batch_size=N, verbose=0)
    assert after < before
    predicted = keras.ops.convert_to_numpy(model(x))
    expected = classes_last(loss)(predicted, align(loss, y), mask=x > 0 if x is words else None)
    assert after == pytest.approx(float(expected), rel=1e-4)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.loss == classes_last(loss)
    assert loaded.evaluate(x, y, batch_size=N, verbose=0) == pytest.approx(after, rel=1e-6)


def align(loss, y):
    """The target as the bare loss wants it."""
    if isinstance(loss, L.BCELoss):
        return y[:, None]
    return y[..., 0] if isinstance(loss, L.LovaszSoftmaxLoss) else y


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, tmp_path):
    many = random.integers(0, 300, N)
    many[0] = 257
    keras.config.set_dtype_policy(policy)
    try:
        model = dense_model(300)
        model.compile(optimizer=keras.optimizers.SGD(0.5), loss=KerasLoss(L.CrossEntropyLoss()))
        before = model.evaluate(rows, many, batch_size=N, verbose=0)
        model.fit(rows, many, batch_size=N, epochs=40, verbose=0)
        after = model.evaluate(rows, many, batch_size=N, verbose=0)
        assert after < before - 1
        predicted = keras.ops.convert_to_numpy(keras.ops.cast(model(rows), "float32"))
        assert after == pytest.approx(float(L.CrossEntropyLoss()(predicted, many)), rel=1e-2)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.evaluate(rows, many, batch_size=N, verbose=0) == pytest.approx(after, rel=1e-3)
    finally:
        keras.config.set_dtype_policy("float32")


cross_entropies = KerasLoss(L.CrossEntropyLoss()), keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def weights_after_training(model, loss, x, y, **options):
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.compile(optimizer=keras.optimizers.SGD(0.5), loss=loss)
    history = twin.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, **options)  # batches of 8 and 4
    return twin.get_weights(), history.history["loss"]


@pytest.mark.parametrize(
    ("model", "x", "y", "options"),
    [
        (dense_model(C), rows, labels[:, None], {"sample_weight": weight}),
        (dense_model(C), rows, labels, {"class_weight": {0: 1.0, 1: 0.5, 2: 3.0, 3: 0.0}}),
        (image_model(C), images, image_labels, {"sample_weight": random.random((N, 5, 6)).astype("float32")}),
        (word_model(C), words, (words % C)[..., None], {"sample_weight": random.random((N, 7)).astype("float32")}),
    ],
    ids=["sample weight", "class weight", "pixel weight", "mask and weight"],
)
def test_training_is_that_with_the_loss_of_keras(model, x, y, options):
    """Weights, masks and the mean mean the same as in Keras: after two epochs the models are the same."""
    ours, theirs = [weights_after_training(model, loss, x, y, **options) for loss in cross_entropies]
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-4)


def test_ctc_of_keras():
    """Its blank is 0, and so is its padding."""
    frames = random.normal(size=(3, 6, C)).astype("float32")
    padded = np.array([[1, 2, 0], [3, 3, 1], [2, 0, 0]])
    theirs = keras.losses.CTC()(tensor(padded), tensor(frames))
    assert number(KerasLoss(L.CTCLoss(ignore_index=0))(padded, frames)) == pytest.approx(number(theirs), rel=1e-5)


def test_several_outputs_with_weights():
    x = layers.Input((6,))
    model = keras.Model(x, {"label": layers.Dense(C)(x), "box": layers.Dense(4)(x)})
    losses = {"label": KerasLoss(L.FocalLoss("multiclass")), "box": KerasLoss(L.GIoULoss(format="cxcywh"))}
    model.compile(optimizer="sgd", loss=losses, loss_weights={"label": 1.0, "box": 2.0})
    y = {"label": labels, "box": boxes}
    found = model.evaluate(rows, y, batch_size=N, verbose=0, return_dict=True)
    predicted = {name: keras.ops.convert_to_numpy(x) for name, x in model(rows).items()}
    label = float(L.FocalLoss("multiclass")(predicted["label"], labels))
    box = float(L.GIoULoss(format="cxcywh")(predicted["box"], boxes))
    assert found["label_loss"] == pytest.approx(label, rel=1e-5)
    assert found["loss"] == pytest.approx(label + 2 * box, rel=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's")
@pytest.mark.parametrize(
    "loss", [L.CrossEntropyLoss(), L.CrossEntropyLoss() + 0.1 * L.FocalLoss("multiclass", reduction="sum")]
)
def test_replicas_of_tf_distribute(loss):
    """Two replicas with halves of the batch take the step of one device with the whole batch."""
    start = dense_model(C).get_weights()

    def trained():
        model = dense_model(C)
        model.set_weights(start)
        model.compile(optimizer=keras.optimizers.SGD(0.5), loss=KerasLoss(loss))
        model.fit(rows, labels, batch_size=N, epochs=1, shuffle=False, verbose=0)
        return model.get_weights()

    one = trained()
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        two = trained()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# --- what Keras cannot call -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [L.BCELoss(), L.MSELoss() + L.L1Loss(), L.ComboLoss("binary")], ids=repr)
def test_a_bare_loss_is_refused(given):
    """Keras would call it with the target first: a cross entropy trained to -1.92."""
    for arguments in ({"loss": given}, {"loss": {"only": given}}, {"loss": KerasLoss(L.BCELoss()), "metrics": [given]}):
        inputs = keras.Input((6,))
        model = keras.Model(inputs, layers.Dense(C, name="only")(inputs))
        model.compile(optimizer="sgd", **arguments)
        with pytest.raises(
            TypeError, match=r"Keras calls a loss with the target first.*pass lossary\.keras\.KerasLoss"
        ):
            model.fit(rows, flags.astype("float32"), verbose=0)
    assert not hasattr(given, "name")


def test_a_loss_of_several_outputs_is_refused():
    loss = L.MSELoss().on("depth") + L.CrossEntropyLoss().on("classes")
    for refused in (loss, L.MSELoss().on("depth"), L.UncertaintyWeightedLoss(loss)):
        with pytest.raises(ValueError, match=r"one output at a time.*compile\(loss={'depth': KerasLoss\(\.\.\.\)"):
            KerasLoss(refused)


def test_several_outputs_train_as_keras_writes_them():
    """What the refusal says to write has the value of the sum over outputs."""
    given = keras.Input((6,))
    depth, classes = layers.Dense(1, name="depth")(given), layers.Dense(C, name="classes")(given)
    model = keras.Model(given, {"depth": depth, "classes": classes})
    each = {"depth": KerasLoss(L.MSELoss()), "classes": KerasLoss(L.CrossEntropyLoss())}
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=each, loss_weights={"depth": 1.0, "classes": 0.5})
    target = {"depth": rows[:, :1], "classes": labels}
    logged = model.fit(rows, target, batch_size=N, verbose=0).history["loss"][0]
    found = {name: tensor(x) for name, x in model.predict(rows, verbose=0).items()}
    loss = L.MSELoss().on("depth") + 0.5 * L.CrossEntropyLoss().on("classes")
    assert logged == pytest.approx(number(loss(found, {name: tensor(x) for name, x in target.items()})), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "needed"),
    [
        (L.GaussianNLLLoss(), "variance"),
        (L.MSELoss() + 2 * L.GaussianNLLLoss(), "variance"),
        (L.ArcFaceLoss(), "prototypes"),
        (L.ScheduledLoss(L.L1Loss() + L.MSELoss(), {"l1": [(0, 1.0)]}), "step"),
    ],
    ids=repr,
)
def test_a_loss_with_operands_is_refused(loss, needed):
    with pytest.raises(ValueError, match=f"needs `{needed}`, and Keras passes target and prediction alone"):
        KerasLoss(loss)
