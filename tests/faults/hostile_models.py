"""Trials of task models and encoder directories that were damaged, or made by someone with bad intentions.

``python -m tests.faults.hostile_models GOLDEN WORK FIRST END``. Half of the trials damage files; the other half change what
files say and repair all digests, as a hostile author would. Then the directory is loaded and asked, under an audit hook.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lusfx.config import canonical_json
from lusfx.contracts import EncoderRequest, Runtime
from lusfx.encoders import open_directory
from lusfx.errors import LusfxError
from lusfx.task_model import load_task_model, verify_task_model
from tests.faults import spoil
from tests.faults.spoil import Random
from tests.faults.watch import AVAILABLE, Watch
from tests.golden.make import Golden, head_specs, images, units_of

HEADS = ("logistic", "mlp", "lightgbm", "attention")
RUNTIMES: dict[str, Runtime] = {"encoder": "onnxruntime", "encoder, OpenVINO": "openvino"}
TARGETS = (*HEADS, *RUNTIMES)
SEED = 2026
CANARY_FLOATS = 192
"""As many as the golden encoder's matrix has: a graph that reads the canary for its weights would be whole."""

FORBIDDEN = frozenset(
    {
        "compile", "exec", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pickle.find_class",
        "subprocess.Popen", "ctypes.dlopen", "marshal.loads", "shutil.unpack_archive", "webbrowser.open",
    }
)  # fmt: skip
OWN_TEMPORARY = str(Path(tempfile.gettempdir(), "lusfx-"))
LIBRARIES = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "lusfx"), "<frozen ")


class Guard:
    """Records what loading a model must never do; armed for the time of a trial."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: list[str] = []
        self.directory = ""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event.startswith("socket.") or (event in FORBIDDEN and not self._is_import(event, arguments)):
            self.seen.append(event)
        elif event == "open" and not self._may_open(arguments[0]):
            self.seen.append("open elsewhere")

    @staticmethod
    def _is_import(event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether an installed module is being imported, which compiles and executes it."""
        if event == "exec":
            return str(arguments[0].co_filename).startswith(LIBRARIES)
        return event == "marshal.loads" or (event == "compile" and str(arguments[1]).startswith(LIBRARIES))

    def _may_open(self, file: Any) -> bool:
        if not isinstance(file, (str, bytes)):
            return True  # a descriptor
        return os.fsdecode(file).startswith((self.directory, OWN_TEMPORARY, "/dev/", "/sys/", "/proc/", *LIBRARIES[:3]))


# ---- damage: no digest is repaired ----------------------------------------------------------------------------------


def damage(directory: Path, canary: Path, random: Random) -> str:
    """Damage one file or more."""
    file = spoil.files_below(directory)[int(random.integers(len(spoil.files_below(directory))))]
    kind = int(random.integers(14))
    if kind < 7:
        change = spoil.BYTES[int(random.integers(len(spoil.BYTES)))]
        file.write_bytes(change(file.read_bytes(), random))
        return change.__name__
    if kind == 7:
        file.unlink()
        return "missing"
    if kind == 8:
        spoil.swap(directory, random)
        return "swapped"
    if kind == 9:
        file.write_bytes(spoil.pickled(canary.with_name("executed"), random))
        return "pickle"
    if kind == 10:
        (spoil.to_pipe, spoil.to_directory)[int(random.integers(2))](file)
        return "pipe or directory"
    if kind == 11:
        spoil.to_link(file, (canary, Path("/dev/zero"), Path("/proc/self/environ"), file)[int(random.integers(4))])
        return "link"
    if kind == 12:
        name = ("__init__.py", "head.pkl", "conftest.py", "2-head.safetensors", "model.pt", "task.py")[
            int(random.integers(6))
        ]
        (file.parent / name).write_bytes(
            spoil.pickled(canary.with_name("executed"), random) if name.endswith((".pkl", ".pt")) else b"1/0\n"
        )
        return "file more"
    return text_damage(directory, random)


def text_damage(directory: Path, random: Random) -> str:
    """Change the text of a card in ways that JSON parsers differ on."""
    cards = [file for file in spoil.files_below(directory) if file.suffix == ".json"]
    card = cards[int(random.integers(len(cards)))]
    text = card.read_text()
    depth = int(random.choice([40, 2_000, 200_000]))
    texts = (
        "[" * depth + "]" * depth,
        '{"a":' * depth + "1" + "}" * depth,
        text.replace("{", '{"format": "x", "format": "y", ', 1),
        text.replace("1", "9" * 5_000, 1),
        text.replace("0", "1e999", 1),
        text.replace('"', "'"),
        "\ufeff" + text,
        text.replace('"files"', '"files\\u0000"', 1),
        text.replace("0", "NaN", 1),
        text.replace("{", '{"__reduce__": ["os.system", "touch executed"], ', 1),
    )
    card.write_text(texts[int(random.integers(len(texts)))])
    return "card text"


# ---- intent: all digests are right ----------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 0.5, 1.5, 1e308, -1e308, 1e-320, 2**31, 2**63, 2**64, 10**400, "", "x", "x" * 100_000,
    "../../etc/passwd", "/etc/passwd", "..", "CON", "a/b", "a\\b", "\0", "\ud800", "logistic", "lightgbm", "mlp", "attention",
    "custom", "__import__", [], {}, [[]], [1, 2, 3], {"x": 1}, [None] * 100, "0" * 64, "mean", "max",
)  # fmt: skip


def leaves(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in a JSON value but its root."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, part in parts for path in [(*where, key), *leaves(part, (*where, key))]]


def edit(value: Any, random: Random) -> str:
    """Change one place of a JSON value: another value, a key less, a key more or with another name."""
    places = leaves(value)
    *parents, last = places[int(random.integers(len(places)))]
    parent = value
    for key in parents:
        parent = parent[key]
    how = int(random.integers(6))
    if how == 0:
        del parent[last]
        return "less"
    if how == 1 and isinstance(parent, dict):
        parent[str(VALUES[int(random.integers(len(VALUES)))])[:200]] = parent.pop(last)
        return "renamed"
    if how == 2 and isinstance(parent, dict):
        parent[("../head", "extra", "encoder.onnx", "1-x")[int(random.integers(4))]] = parent[last]
        return "more"
    parent[last] = VALUES[int(random.integers(len(VALUES)))]
    return "value"


def lying_safetensors(content: bytes, random: Random) -> bytes:
    """Change what the header says of lengths, places, types and shapes."""
    (length,) = struct.unpack("<Q", content[:8])
    if random.random() < 0.2:
        return struct.pack("<Q", int(random.choice([0, 1, length - 1, length + 1, 2**31, 2**63 - 1]))) + content[8:]
    header = json.loads(content[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    entry = header[names[int(random.integers(len(names)))]]
    how = int(random.integers(5))
    if how == 0:
        entry["dtype"] = ("F16", "F32", "BF16", "I64", "BOOL", "F8_E4M3", "X")[int(random.integers(7))]
    elif how == 1:
        entry["shape"] = [[], [0], [2**62, 4], [-1], [1, 1, 1], [2**32, 2**32]][int(random.integers(6))]
    elif how == 2:
        entry["data_offsets"] = [[0, 8], [8, 0], [0, 2**63], [len(content), len(content) + 8]][int(random.integers(4))]
    elif how == 3:
        edit(header, random)
    else:
        header["__metadata__"] = {"lusfx": "mlp/2", "format": "pt"}
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + content[8 + length :]


TOKENS = (
    "-1", "0", "99999999", "nan", "inf", "1e400", "-2147483649", "18446744073709551616", "1_000", "0x10", " ", "", "Tree=0",
    "1" * 5000,
)  # fmt: skip


def edited_forest(content: bytes, random: Random) -> bytes:
    """Change a number, a line or a block of a LightGBM model text."""
    lines = content.decode().split("\n")
    place = int(random.integers(len(lines)))
    how = int(random.integers(5))
    if how == 0:
        del lines[place]
    elif how == 1:
        lines.insert(place, lines[int(random.integers(len(lines)))])
    elif how == 2:
        return content[: int(random.integers(len(content)))]
    else:
        key, _, values = lines[place].partition("=")
        words = values.split(" ")
        words[int(random.integers(len(words)))] = TOKENS[int(random.integers(len(TOKENS)))]
        lines[place] = f"{key}={' '.join(words)}"
    return "\n".join(lines).encode()


def hostile_graph(content: bytes, random: Random) -> bytes:
    """Bits of an ONNX graph turned, or its values looked for in other files."""
    if random.random() < 0.6:
        return spoil.BYTES[int(random.integers(len(spoil.BYTES)))](content, random)
    import onnx

    graph = onnx.load_model_from_string(content)
    weight = graph.graph.initializer[0]
    if random.random() < 0.5:  # the weights that are given are then used elsewhere, and this one has to be found
        copy = onnx.TensorProto()
        copy.CopyFrom(weight)
        copy.name = "found"
        graph.graph.initializer.append(copy)
        graph.graph.node[-1].input[1] = "found"
        graph.graph.node.insert(0, onnx.helper.make_node("Identity", ["weight"], ["unused"]))
        weight = graph.graph.initializer[-1]
    del weight.external_data[:]
    places = (
        "canary.bin",
        "./canary.bin",
        "../{here}/canary.bin",
        "{whole}",
        "weights.safetensors",
        "/dev/zero",
        "/etc/passwd",
    )
    where = places[int(random.integers(len(places)))].format(here=Path.cwd().name, whole=Path.cwd() / "canary.bin")
    weight.external_data.add(key="location", value=where)
    if random.random() < 0.5:
        weight.external_data.add(key="length", value=str(CANARY_FLOATS * 4))
    if random.random() < 0.2:
        weight.external_data.add(key="offset", value=str(int(random.choice([0, 4096, 2**62]))))
    return bytes(graph.SerializeToString())


def intend(directory: Path, canary: Path, random: Random) -> str:
    """Change what the directory says, and make all digests right."""
    files = [file for file in spoil.files_below(directory) if file.name != "report.html"]
    file = files[int(random.integers(len(files)))]
    how = "edited"
    if random.random() < 0.05:
        file.write_bytes(spoil.pickled(canary.with_name("executed"), random))
        how = "pickle"
    elif file.suffix == ".json":
        value = json.loads(file.read_text())
        how = edit(value, random)
        file.write_text(json.dumps(value))
    elif file.suffix == ".safetensors":
        change = lying_safetensors if random.random() < 0.7 else spoil.BYTES[int(random.integers(len(spoil.BYTES)))]
        file.write_bytes(change(file.read_bytes(), random))
    elif file.suffix == ".txt":
        file.write_bytes(edited_forest(file.read_bytes(), random))
    elif file.suffix == ".onnx":
        file.write_bytes(hostile_graph(file.read_bytes(), random))
    else:
        file.write_bytes(spoil.flip(file.read_bytes(), random))
    repair_digests(directory, file)
    return f"intended, {how}, {file.name.removeprefix('1-')}"


def repair_digests(directory: Path, changed: Path) -> None:
    """Make every digest say what is there. A card that is no longer one stays as it is."""
    if (directory / "encoder.json").exists():
        _repair_encoder(directory, changed)
        return
    if changed.parent != directory:
        _repair_encoder(changed.parent, changed)
    try:
        card = json.loads((directory / "task_model.json").read_text())
        if changed.parent != directory:
            card["own_encoder"] = hashlib.sha256((changed.parent / "encoder.json").read_bytes()).hexdigest()
        for name in card["files"]:
            content = (directory / name).read_bytes()
            if changed.name != "task_model.json":
                card["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content)}
        card.pop("card_sha256", None)
        card["card_sha256"] = hashlib.sha256(canonical_json(card).encode()).hexdigest()
        (directory / "task_model.json").write_text(json.dumps(card))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        pass


def _repair_encoder(directory: Path, changed: Path) -> None:
    if changed.name == "encoder.json":
        return
    card = json.loads((directory / "encoder.json").read_text())
    card["files"][changed.name] = hashlib.sha256(changed.read_bytes()).hexdigest()
    if changed.name == "weights.safetensors":
        from safetensors.numpy import load

        from lusfx.encoders.card import weights_sha256

        try:
            card["identity"]["weights_sha256"] = weights_sha256(load(changed.read_bytes()))
        except Exception:
            return
    (directory / "encoder.json").write_text(json.dumps(card))


# ---- the trial ------------------------------------------------------------------------------------------------------


class Bench:
    """Asks a directory, and compares its answer with that of the sound one."""

    def __init__(self, golden: Golden) -> None:
        self.golden = golden
        self.specs = head_specs()
        self.fingerprint = golden.answers["fingerprint"]
        store = golden.store()
        self.units = {name: units_of(store, name) for name in HEADS}
        self.images = images()
        self.runtimes = RUNTIMES if find_spec("openvino") else dict.fromkeys(RUNTIMES, RUNTIMES["encoder"])
        self.sound = {target: self._answer(target, self.directory_of(target)) for target in TARGETS}

    def directory_of(self, target: str) -> Path:
        return self.golden.encoder if target in RUNTIMES else self.golden.task_model(target)

    def ask(self, target: str, directory: Path) -> str:
        """``refused``, ``the same``, ``another`` where the answer is sound but not the same; else what is wrong."""
        try:
            answer = self._answer(target, directory)
        except LusfxError as error:
            return "names a folder" if "lusfx-canary" in str(error) else "refused"
        except Exception as error:
            return f"raised {type(error).__name__}"
        if answer.shape != self.sound[target].shape:
            return "answer of another shape"
        if np.array_equal(answer, self.sound[target]):
            return "the same"
        if target in HEADS and not (np.isfinite(answer).all() and ((answer >= 0) & (answer <= 1)).all()):
            return "answer that is no probability"
        return "another"

    def _answer(self, target: str, directory: Path) -> Any:
        if target in RUNTIMES:
            return self._embeddings(directory, self.runtimes[target])
        problems = verify_task_model(directory, self.specs)
        try:
            model = load_task_model(directory, self.specs)
        except LusfxError:
            if not problems:
                raise AssertionError("verifying found nothing") from None
            raise
        if problems:
            raise AssertionError("verifying found what loading did not")
        probabilities = model.score(self.units[target], self.fingerprint)
        return np.array([probabilities[:, 0], [float(len(model.answer(row))) * 0 for row in probabilities]])

    def _embeddings(self, directory: Path, runtime: Runtime) -> Any:
        request = EncoderRequest(str(directory), device="cpu", threads=1, runtime=runtime)
        encoder = open_directory(directory, request)
        size = encoder.preprocess.size
        # A card may ask for frames of another size, and extraction would then prepare such.
        fits = size == self.images.shape[1]
        return encoder.encode(self.images if fits else np.zeros((len(self.images), size, size), np.uint8))


def main(golden: Path, work: Path, first: int, end: int) -> None:
    bench = Bench(Golden(golden.resolve()))
    place = work / "lusfx-canary" / "working"
    place.mkdir(parents=True, exist_ok=True)
    canary = place / "canary.bin"
    canary.write_bytes(np.ones(CANARY_FLOATS, np.float32).tobytes())
    os.chdir(place)
    watch = Watch([canary]) if AVAILABLE else None
    guard = Guard()
    for number in range(first, end):
        print(f"begin {number}", flush=True)
        random: Random = np.random.default_rng((SEED, number))
        target = TARGETS[int(random.integers(len(TARGETS)))]
        directory = work / f"{number}" / "lusfx-canary" / target
        shutil.copytree(bench.directory_of(target), directory)
        spoiler: Callable[[Path, Path, Random], str] = damage if number % 2 else intend
        how = spoiler(directory, canary, random)
        guard.directory, guard.seen = str(directory), []
        started = time.monotonic()
        guard.armed = True
        answer = bench.ask(target, directory)
        guard.armed = False
        facts = {
            "target": target,
            "how": how,
            "answer": answer,
            "forbidden": sorted(set(guard.seen)),
            "opened": watch.opened() if watch else [],
            "executed": (place / "executed").exists() or (directory / "executed").exists(),
            "seconds": round(time.monotonic() - started, 3),
        }
        shutil.rmtree(work / f"{number}")
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
