"""Bad input: one sentence, exit status 2, nothing written."""

import json
import re
from pathlib import Path

import pytest

TINY = "TINY"

CASES = [
    # commands and options
    ("rnu", "no command 'rnu'; did you mean run?"),
    ("list foo", "takes no more, and 'foo' was given"),
    ("list --jsn", "--jsn is no option of dln list; did you mean --json?"),
    ("list --json=maybe", "--json is a switch"),
    ("run", "dln run needs REFERENCE"),
    ("show", "dln show needs REFERENCE"),
    ("new", "dln new needs FILE"),
    ("run TINY --out", "--out needs a value"),
    ("run TINY --seeds 1 --seeds 2", "--seeds was given more than once"),
    ("run TINY extra", "takes no more, and 'extra' was given"),
    ("run TINY -x", "-x is no option of dln run"),
    # experiments and files
    ("run kim2026/fgi1", "did you mean kim2026/fig1"),
    ("run fig1", "there is no experiment fig1; did you mean kim2026/fig1?"),
    ("run nonsense", "name one of `dln list`"),
    ("show kim2026/fgi1", "did you mean kim2026/fig1"),
    ("run nowhere.py", "there is no file nowhere.py; `dln new nowhere.py` makes one"),
    ("run empti.py", "did you mean empty.py?"),
    ("run empty.py", "holds no EXPERIMENT"),
    ("run broken.py", "SyntaxError in line 2"),
    ("run raising.py", "ZeroDivisionError in line 1"),
    ("run leaving.py", "SystemExit in line 2"),
    ("run clash.py", "threads is a flag of the command line"),
    ("run reserved.py", "steps is a flag of the command line"),
    (f"run {'a' * 300}.py", "there is no file"),
    ("cite kim206", "there is no paper kim206; did you mean kim2026?"),
    # coordinates
    ("run TINY --learning-rat 0.1", "--learning-rat is no option of dln run; did you mean --learn"),
    ("run TINY --learning-rate", "--learning-rate needs a value"),
    ("run TINY --learning-rate --json", "--learning-rate needs a value"),
    ("run TINY --learning-rate fast", "learning_rate needs a number, and 'fast' was given"),
    ("run TINY --learning-rate nan", "learning_rate must be finite"),
    ("run TINY --learning-rate -inf", "learning_rate must be finite"),
    ("run TINY --learning-rate 1e999", "learning_rate must be finite"),
    ("run TINY --learning-rate -1", "learning_rate must be above 0, and -1.0 was given"),
    ("run TINY --learning-rate -1:1:3", "learning_rate must be above 0"),
    ("run TINY --learning-rate 0.1:0.2", "a range is start:stop:count"),
    ("run TINY --learning-rate 1:2:99999999999", "would have 99999999999 points"),
    ("run TINY --learning-rate 0.1,0.1", "more than once"),
    ("run TINY --depth 1.5", "depth needs a whole number"),
    ("run TINY --depth 9", "depth must be at least 1 and at most 3"),
    ("run TINY --kind fanci", "did you mean fancy?"),
    ("run TINY --doubled=maybe", "doubled needs true or false"),
    ("run TINY --strengths 1,x", "strengths needs a tuple of numbers"),
    ("run TINY --strengths=", "strengths is empty"),
    ("run kim2026/fig1 --alphas 0.1", "alphas has 1 values and there are 2 pathways"),
    # extent
    ("run TINY --steps ten", "steps needs a whole number"),
    ("run TINY --steps -5", "steps must be at least 0"),
    ("run TINY --steps 1,2", "steps takes one value"),
    ("run TINY --time 0", "time must be above 0"),
    ("run TINY --steps 5 --time 1", "both were given"),
    ("run TINY --steps 99999999999999999999", "steps must fit into 64 bits"),
    ("run TINY --steps 1000000000000000", "are allowed; lower the steps"),
    ("run TINY --time 1e-9", "time 1e-09 takes 0 steps at the smallest"),
    ("run TINY --threads 0", "threads must be at least 1"),
    ("run TINY --seeds 0,1", "--seeds takes how many, and 0,1 was given; pass --seed 0,1"),
    ("run TINY --seeds 0", "seeds must be at least 1"),
    ("run TINY --seeds 99999999999", "seeds must be at least 1 and at most 10000000"),
    ("run TINY --seeds 2 --seed 1", "--seed and --seeds were both given"),
    ("run unseeded.py --seeds 2", "unseeded has no seed"),
    (
        "run TINY --learning-rate 0.1:1:100000 --shift 0:1:100000 --seeds 100000",
        "lanes, 2 recorded moments) and",
    ),
    # outputs
    ("run TINY --out a.txt", "ending in .nc or a directory ending in .zarr"),
    ("run TINY --out there.nc", "there.nc exists already"),
    ("run TINY --out nowhere/a.nc", "the directory nowhere of the output does not exist"),
    ("run TINY --out there.txt/a.nc", "the directory there.txt of the output does not exist"),
    ("run TINY --out folder.nc --force", "folder.nc is a directory and a file is to be written"),
    (f"run TINY --out {'a' * 300}.nc", "cannot be written (File name too long)"),
    ("run TINY --out /proc/a.nc", "/proc/a.nc cannot be written"),
    ("new there.txt", "a file ending in .py"),
    ("new empty.py", "empty.py exists already"),
    ("new nowhere/a.py", "nowhere/a.py cannot be written"),
    # theory, papers, claims
    ("predict stabilty --depths 3", "there is no topic stabilty; did you mean stability?"),
    ("predict stability --depths 3", "target has no default, and no value was given; add --target"),
    ("predict stability --depths 3,x --target 1", "depths needs a tuple of whole numbers"),
    ("predict stability --depths 3,0 --target 1", "depths"),
    ("predict stability --depths 3,5 --target -1", "target is -1.0"),
    ("predict stability --depths 3 --target 1,2", "target takes one value here, and 2 were given"),
    ("predict stability --depth 3 --target 1", "--depth is no option of dln predict; did you mean"),
    ("predict orbit --depth 3 --target 10", "learning_rate has no default"),
    (
        "predict orbit --depth 3",
        "target and learning_rate have no default, and no values were given; add --target and "
        "--learning-rate.",
    ),
    ("predict spectrum", "depths, targets and sigma have no default"),
    ("predict orbit --depth 1 --target 10 --learning-rate 1", "at depth 1 descent is linear"),
    ("predict orbit --depth 3 --target -1 --learning-rate 1", "target is -1.0"),
    ("predict orbit --depth 3 --target 1e300 --learning-rate 1", "in other units"),
    ("predict orbit --depth 3 --target 10 --learning-rate 1e308 --period 1", "nearer to 2/S"),
    ("predict orbit --depth 3 --target 10 --learning-rate 0.03", "above the edge 2/S = 0.0309439"),
    ("predict orbit --depth 3 --target 10 --learning-rate 0.06", "one below η_WCR = 0.0566427"),
    (
        "predict orbit --depth 3 --target 10 --learning-rate 0.038 --period 4",
        "no cycle of period 4",
    ),
    ("predict orbit --depth 3 --target 10 --learning-rate 0.038 --period 0", "period is 0"),
    ("predict orbit --depth 3 --target 10 --learning-rate 0.038 --period 999", "ask for a shorter"),
    ("predict spectrum --depths 3 --targets 1", "sigma has no default"),
    ("predict spectrum --depths 3 --targets 1 --sigma 1,2/3", "sigma needs rows of numbers"),
    ("predict spectrum --depths 3 --targets 1 --sigma 1/0.5", "sigma has shape (2, 1) for 1"),
    ("predict spectrum --depths 3,3 --targets 1 --sigma 1", "sigma has shape (1, 1) for 1"),
    ("predict spectrum --depths 3 --targets 1 --sigma nan", "sigma must be finite"),
    ("predict spectrum --depths 3 --targets 1 --sigma -1", "numbers at or above 0 are needed"),
    ("predict spectrum --depths 3 --targets -1 --sigma 1", "targets is (-1.0,)"),
    ("predict spectrum --depths 0 --targets 1 --sigma 1", "depths is 0"),
    ("predict spectrum --depths 3 --targets 1,1 --sigma 1/1 --outputs 1", "outputs is 1, and at"),
    ("predict spectrum --depths 3 --targets 1 --sigma 1 --inputs -1", "inputs must be at least 0"),
    ("predict spectrum --depths 9000000000 --targets 1 --sigma 1", "GiB are allowed; take fewer"),
    ("predict spectrum --depths 3 --targets 1 --sigma 1 --hidden 9000000000", "GiB are allowed"),
    ("predict transverse --depth 3 --targets 10", "at least two singular values"),
    ("predict transverse --depth 3 --targets 10,-1", "numbers at or above 0 are needed"),
    ("predict transverse --depth 3 --targets 0,0", "the largest from 1e-100"),
    ("predict transverse --depth 1 --targets 2,1", "depth is 1"),
    ("predict transverse --depth 1000 --targets 2,1", "depth is 1000, and at most"),
    ("predict transverse --depth 3,4 --targets 2,1", "depth takes one value here"),
    ("predict escape --depth 1 --targets 3,2 --scale 1e-3", "depth is 1, and at least 2 is needed"),
    ("predict escape --depth 3 --targets 0,0 --scale 1e-3", "one of them above 0, is needed"),
    ("predict escape --depth 3 --targets 3,-1 --scale 1e-3", "targets is (3.0, -1.0)"),
    ("predict escape --depth 3 --targets 3,2 --scale 0", "from which nothing ever moves"),
    ("predict escape --depth 3 --targets 3,2 --scale -1", "scale is -1.0, and numbers above 0"),
    (
        "predict escape --depth 3 --targets 3,2 --scale 2.5",
        "below 2.49805 is needed, since the ray from the origin ends",
    ),
    (
        "predict escape --depth 2 --targets 3,2 --scale 1",
        "below 1 is needed, since the time asked for is that",
    ),
    ("predict escape --depth 2 --targets 0.01 --scale 10", "since the ray from the origin ends"),
    ("predict escape --depth 9 --targets 3,2 --scale 1e-99", "beyond the largest float"),
    ("predict escape --depth 999 --targets 3 --scale 1e-3", "below the smallest float"),
    ("predict regime --depth 1 --gamma 1.5", "depth is 1, and a whole number of at least 2"),
    ("predict regime --depth 4 --gamma inf", "gamma must be finite"),
    ("predict noise --depth 4 --target 1", "learning_rate has no default"),
    ("predict noise --depth 1 --target 1 --learning-rate 0.1", "at depth 1 the diffusion"),
    ("predict noise --depth 0 --target 1 --learning-rate 0.1", "depth is 0"),
    ("predict noise --depth 2 --target 0 --learning-rate 0.1", "target is 0.0"),
    ("predict noise --depth 2 --target -1 --learning-rate 0.1", "target is -1.0"),
    ("predict noise --depth 2 --target 1 --learning-rate 0", "learning_rate is 0.0"),
    (
        "predict noise --depth 2 --target 1 --learning-rate 0.1 --label-noise -1",
        "label_noise is -1",
    ),
    ("predict noise --depth 2 --target 1 --learning-rate 0.1 --batch-size 0", "batch_size is 0"),
    ("predict noise --depth 2 --target 1 --learning-rate 0.1 --batch-size 1.5", "batch_size needs"),
    ("predict noise --depth 3 --target 1e200 --learning-rate 1", "in other units"),
    ("reproduce", "no paper was named"),
    ("reproduce kim2026 --threads 0", "threads must be at least 1, and 0 was given"),
    ("reproduce kim206", "did you mean kim2026?"),
    ("reproduce kim2026 --only fgi1", "did you mean fig1"),
    (
        "reproduce jacot2021 --only zzz",
        "has no figure zzz; known are completion, distances, escape, first_escape, greedy, "
        "plateaus, regimes, saddles, schatten.",
    ),
    ("claims kim206", "there is no paper kim206; did you mean kim2026?"),
    ("claims --from nowhere", "nowhere holds no claims.json"),
    ("claims --from malformed", "claims.json cannot be read"),
    ("claims --from strange", "is no list of claims"),
    ("claims kim2026 --from others", "others holds no claims of kim2026"),
]

UNSEEDED = """
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Experiment
EXPERIMENT = Experiment(lambda: GradientDescent, title="", steps=1)
"""


@pytest.fixture
def files(place: Path) -> Path:
    clash = UNSEEDED.replace("lambda: GradientDescent", "build")
    clash = clash.replace("EXP", "def build(threads: int = 1): ...\nEXP", 1)
    texts = {
        "empty.py": "",
        "broken.py": "\ndef build(:\n",
        "raising.py": "1 / 0\n",
        "leaving.py": "import sys\nsys.exit(3)\n",
        "unseeded.py": UNSEEDED,
        "clash.py": clash,
        "reserved.py": clash.replace("threads", "steps"),
        "there.nc": "kept",
        "there.txt": "kept",
        "malformed/claims.json": "[",
        "strange/claims.json": '[{"id": 3}]',
        "others/claims.json": "[]",
    }
    for name, text in texts.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    (place / "folder.nc").mkdir()
    return place


@pytest.mark.parametrize(("line", "words"), CASES)
def test_one_sentence(dln, tiny, files, line, words):
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    said = dln(*(tiny if token == TINY else token for token in line.split()))
    assert said.status == 2, said
    assert words in said.err
    assert re.fullmatch(r"dln: \S.*[.?]\n", said.err), "one sentence on one line"
    assert said.out == ""
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before


def test_a_switch_does_not_swallow_the_experiment(dln, tiny):
    said = dln("run", "--doubled", tiny, "--steps", "0", "--json")
    assert json.loads(said.out)["coords"]["doubled"] is True
