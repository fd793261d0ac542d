"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import lossary
from lossary.cli import app
from lossary.cli.plot import make_losses, read

HEAVY = ("torch", "jax", "tensorflow", "keras", "matplotlib", "sklearn")
CATALOGUE = [pytest.param(cls, id=cls.__name__) for cls in lossary.catalogue()]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def succeed(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "focal"], ["plot", "l1", "--json"]])
def test_light_verbs_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from lossary.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit as end: assert not end.code\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]; assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert succeed("--version") == f"lossary {lossary.__version__}\n"


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_names_every_loss() -> None:
    lines = succeed("list").splitlines()
    names = {words[0] for line in lines if (words := line.split())}
    assert {cls.__name__ for cls in lossary.catalogue()} <= names


def test_list_json_holds_every_loss() -> None:
    listed = json.loads(succeed("list", "--json"))
    assert {entry["name"] for entry in listed} == {cls.__name__ for cls in lossary.catalogue()}
    focal = next(entry for entry in listed if entry["name"] == "FocalLoss")
    assert focal["short_name"] == "focal"
    assert focal["family"] == "likelihood"
    assert focal["tasks"] == ["binary", "multilabel", "multiclass"]
    assert focal["arxiv"] == "1708.02002"
    assert focal["summary"] == "Cross entropy that fades for easy examples."


@pytest.mark.parametrize(
    ("filters", "inside", "outside"),
    [
        (["--family", "box"], "CIoULoss", "L1Loss"),
        (["--task", "binary"], "BCELoss", "CrossEntropyLoss"),
        (["--family", "region", "--task", "multilabel"], "TverskyLoss", "LovaszSoftmaxLoss"),
    ],
)
def test_list_filters(filters: list[str], inside: str, outside: str) -> None:
    names = [entry["name"] for entry in json.loads(succeed("list", "--json", *filters))]
    assert inside in names
    assert outside not in names


# --- show -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CATALOGUE)
def test_show_says_all_of_a_loss(cls: type[lossary.Loss]) -> None:
    shown = json.loads(succeed("show", cls.__name__, "--json"))
    assert shown["name"] == cls.__name__
    assert {o["name"] for o in shown["options"]} == {name for name, _, _ in cls.options()}
    for part in ("summary", "formulas", "use", "shapes", "elsewhere", "example", "source"):
        assert shown[part], f"the docstring of {cls.__name__} lacks {part}"
    text = succeed("show", cls.short_name())
    assert cls.__name__ in text
    assert "Elsewhere" in text


def test_show_reads_as_text() -> None:
    text = succeed("show", "focal")
    for part in ("ℓ(pₜ) = -αₜ (1-pₜ)ᵞ ln pₜ", "arxiv.org/abs/1708.02002", "at least 0", "[0, ∞)", ">>> import numpy"):
        assert part in text


def test_show_json_has_no_infinity() -> None:
    shown = json.loads(succeed("show", "l1", "--json"), parse_constant=pytest.fail)
    assert shown["range"] == [0.0, None]


# --- names of other libraries, and narrow terminals -------------------------------------------------------------------


def test_show_answers_for_other_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = succeed("show", "monai.losses.DiceCELoss")
    assert "monai.losses.DiceCELoss(softmax=True, to_onehot_y=True)(z, labels[:, None])" in text
    assert '(L.DiceLoss("multiclass") + L.CrossEntropyLoss())(z, labels)' in text
    squared = succeed("show", "tf.keras.losses.SquaredHinge")
    assert 'L.HingeLoss("binary", power=2)(z, signs)' in squared
    assert "Vapnik" in squared, "the loss of ours follows"
    assert "not here yet" in succeed("show", "kornia.losses.SSIMLoss")
    shown = json.loads(succeed("show", "torch.nn.NLLLoss", "--json"))
    assert shown["name"] == "CrossEntropyLoss"
    assert shown["elsewhere_calls"][0]["ours"] == "L.CrossEntropyLoss()"


@pytest.mark.parametrize("name", ["SumLoss", "OutputLoss", "ScheduledLoss", "UncertaintyWeightedLoss"])
def test_show_losses_of_losses(name: str) -> None:
    assert name in succeed("show", name)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_list_is_legible_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name broken, no column of a few letters, few lines."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = succeed("list").splitlines()
    words = {word for line in lines for word in line.split()}
    for cls in lossary.catalogue():
        assert {cls.__name__, cls.short_name()} <= words
    assert len(lines) <= 250
    assert max(len(line.rstrip()) for line in lines) <= width


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ["focal", "distance_penalized_cross_entropy", "structural_similarity", "ctc"])
def test_show_is_legible_at_any_width(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = succeed("show", name).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    for option, _, _ in lossary.find(name).options():
        assert any(line.split()[:1] == [option] for line in lines), f"{option} is broken"
    # a column of a few letters would make a word a line
    assert len(lines) < 12_000 / min(width, 120)


def test_python_m_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "lossary", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"lossary {lossary.__version__}\n"


# --- plot: reading the command line -----------------------------------------------------------------------------------


def test_plot_reads_several_values_after_an_option() -> None:
    request = read(["focal", "bce", "--gamma", "0", "-1", "--pos-weight=2"])
    assert request.names == ("focal", "bce")
    assert request.options == {"gamma": ("0", "-1"), "pos_weight": ("2",)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["focal", "--gamma", "0", "1"], [lossary.FocalLoss("binary", gamma=g) for g in (0, 1)]),
        (
            ["tversky", "--fp-weight", "0.3", "0.7", "--fn-weight", "0.5", "1"],
            [lossary.TverskyLoss("binary", fp_weight=p, fn_weight=n) for p in (0.3, 0.7) for n in (0.5, 1)],
        ),
        (["huber", "l1", "--delta", "2"], [lossary.HuberLoss(delta=2), lossary.L1Loss()]),
        (["huber", "--delta", "inf"], [lossary.HuberLoss(delta=float("inf"))]),
        (["focal", "--task", "multiclass", "--alpha", "1,2"], [lossary.FocalLoss("multiclass", alpha=(1, 2))]),
        (["dice", "--squared", "true", "false"], [lossary.DiceLoss("binary", squared=s) for s in (True, False)]),
        (["dice+0.5*focal:gamma=1"], [lossary.DiceLoss("binary") + 0.5 * lossary.FocalLoss("binary", gamma=1)]),
        (["dice+cross_entropy"], [lossary.DiceLoss("multiclass") + lossary.CrossEntropyLoss()]),
        (["l1", "L1Loss"], [lossary.L1Loss()]),
    ],
)
def test_plot_makes_losses(words: list[str], expected: list[lossary.Loss]) -> None:
    assert make_losses(read(words)) == expected


@pytest.mark.parametrize("cls", CATALOGUE)
def test_no_loss_has_an_option_that_plot_takes_itself(cls: type[lossary.Loss]) -> None:
    assert {"out", "axis", "limits", "json", "help"}.isdisjoint(name for name, _, _ in cls.options())


# --- plot: what it writes ---------------------------------------------------------------------------------------------


def test_plot_writes_both_formats(tmp_path: Path) -> None:
    png, svg = tmp_path / "focal.png", tmp_path / "focal.svg"
    succeed("plot", "focal", "--gamma", "0", "1", "2", "--out", str(png), "--out", str(svg))
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "FocalLoss(gamma=1)" in svg.read_text()


def test_plot_names_its_file_after_the_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert succeed("plot", "l1", "mse") == "wrote l1-mse.png\n"
    assert (tmp_path / "l1-mse.png").exists()


def test_plot_json_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = json.loads(succeed("plot", "l1", "--limits", "-2", "2", "--json"), parse_constant=pytest.fail)
    assert list(tmp_path.iterdir()) == []
    (line,) = lines
    assert lossary.from_dict(line["loss"]) == lossary.L1Loss()
    assert line["axis"] == "e"
    assert (line["x"][-1], line["value"][-1], line["slope"][-1]) == (2.0, 2.0, 1.0)
    assert len(line["x"]) == len(line["value"]) == len(line["slope"])
    assert line["slope"][line["x"].index(0.0)] is None, "there is no slope at a kink"


# --- failing ----------------------------------------------------------------------------------------------------------

WRONG = [
    (["list", "--family", "boxes"], ["--family", "box, ", "'boxes'"]),
    (["list", "--task", "regression"], ["--task", "binary, multilabel, multiclass", "'regression'"]),
    (["show", "nllx"], ["'nllx'", "torch.nn.NLLLoss"]),
    (["show", "fokal"], ["'fokal'", "focal"]),
    (["show", "zzzz"], ["'zzzz'", "lossary list"]),
    (["plot", "fokal"], ["'fokal'", "focal"]),
    (["plot", "--gamma", "1"], ["name at least one loss"]),
    (["plot", "focal", "--gama", "1"], ["FocalLoss has no option --gama", "--gamma"]),
    (["plot", "l1", "--zzzz", "1"], ["L1Loss has no option --zzzz", "--reduction"]),
    (["plot", "dice+focal", "--gamma", "1"], ["--gamma", "name:option=value"]),
    (["plot", "focal", "--gamma"], ["--gamma needs at least one value"]),
    (["plot", "focal", "--gamma="], ["--gamma needs at least one value"]),
    (["plot", "focal", "--gamma", "1", "--gamma", "2"], ["--gamma is given twice"]),
    (["plot", "focal", "--gamma", "1", "dice"], ["'dice'", "write it before the options"]),
    (["plot", "focal", "--gamma", "-1"], ["`gamma` must be at least 0", "-1"]),
    (["plot", "focal", "--task", "regression"], ["'binary', 'multilabel', 'multiclass'", "'regression'"]),
    (["plot", "l1", "dice"], ["no axis in common", "L1Loss has 'e'", "DiceLoss has 'tp'"]),
    (["plot", "l1", "--axis", "p_t"], ["'p_t'", "L1Loss has 'e'"]),
    (["plot", "l1+dice"], ["no curve", "L1Loss has 'e'", "DiceLoss has 'tp'"]),
    (["plot", "bce+cross_entropy"], ["no task in common"]),
    (["plot", "dice+fokal"], ["'fokal'", "focal"]),
    (["plot", "l1", "--limits", "3", "-3"], ["`limits`", "3 and -3"]),
    (["plot", "bce", "--limits", "0", "2"], ["`limits`", "'p_t'", "0 and 2"]),
    (["plot", "dice", "--limits", "0.5", "0.505"], ["`limits`", "'tp'"]),
    (["plot", "huber", "--delta", *map(str, range(1, 15))], ["at most 12 curves", "14"]),
    (["plot", "l1", "--out", "l1.pdf"], [".png or .svg", "'l1.pdf'"]),
    (["plot", "l1", "--out", "l1.png", "--out", "l1.gif"], ["'l1.gif'"]),
    (["plot", "l1", "--out", "nowhere/l1.png"], ["no folder 'nowhere'"]),
]


@pytest.mark.parametrize(("arguments", "parts"), WRONG, ids=[" ".join(a)[:40] for a, _ in WRONG])
def test_wrong_input_gets_one_line_and_exit_code_2(
    arguments: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"lossary {arguments[0]}: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr
    assert list(tmp_path.iterdir()) == [], "a request that fails leaves nothing behind"


@pytest.mark.parametrize("arguments", [["lisst"], ["show"], ["plot"], ["list", "--famly", "box"]])
def test_wrong_usage_has_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_interrupting_has_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lossary.core.catalogue.find", interrupted)
    result = run("show", "focal")
    assert result.exit_code == 130
    assert result.stderr == "lossary show: interrupted\n"


def test_a_file_that_cannot_be_written_gets_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "taken.png"
    folder.mkdir()
    result = run("plot", "l1", "--out", str(folder))
    assert result.exit_code == 2
    assert "taken.png" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("plot", "l1")
    assert result.exit_code == 2
    assert 'pip install "lossary[studies]"' in result.stderr


def test_traceback_on_request() -> None:
    assert isinstance(run("--traceback", "show", "fokal").exception, ValueError)
