"""Screens around a cine, as machines, viewers and recorders show it: banners, panels, traces, second images, pages without one.

For what must find the beam in them. Every drawing says where the beam is, or that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]

WORDS = (
    "Gn 52",
    "DR 65",
    "MI 1.1",
    "TIs 0.2",
    "Lung",
    "C5-1",
    "14 Hz",
    "P Med",
    "Z 1.2",
    "R.Avi 12",
    "Preset",
    "normal",
    "cm/s",
)


@dataclass(frozen=True, slots=True)
class Cine:
    """Frames and where the beam is in them.

    :param frames: ``(n, height, width)`` grey, black outside the beam.
    :param inside: ``(height, width)``.
    """

    frames: Frames
    inside: Mask


@dataclass(frozen=True, slots=True)
class Screen:
    """What a recorder keeps.

    :param frames: ``(n, height, width)`` grey.
    :param beams: ``(height, width)`` each: the images that it shows, any of which is a right answer; none on a page.
    """

    frames: Frames
    beams: tuple[Mask, ...]


def draw_screen(kind: str, cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Draw a cine on a screen.

    :param kind: one of :data:`SCREENS`.
    :param other: another cine, for screens that show two.
    """
    return SCREENS[kind](cine, other, generator)


def _plain(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    return Screen(cine.frames, (cine.inside,))


def _still(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    return Screen(cine.frames[:1], (cine.inside,))


def _frozen(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    return Screen(np.repeat(cine.frames[:1], len(cine.frames), axis=0), (cine.inside,))


def _dark(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    gain = generator.uniform(0.15, 0.5)
    return Screen((cine.frames * gain).astype(np.uint8), (cine.inside,))


def _cart(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Banner, text, grey bar and depth ticks around the image."""
    canvas = _Canvas(cine, generator, margins=(50, 90, 40, 90))
    height, width = canvas.shape
    canvas.paint(0, 0, width, 36, int(generator.integers(0, 90)))
    canvas.write(8, 10, "SYNTHETIC  0001  01.01.2000  General Hospital", 230)
    for row in range(60, height - 40, 40):
        canvas.write(4, row, str(generator.choice(WORDS)), 180)
    canvas.grey_bar(width - 30, 70, min(height // 2, 220))
    for row in range(60, height - 20, 30):
        canvas.paint(width - 60, row, width - 52, row + 2, 200)
    return canvas.screen()


def _still_cart(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    screen = _cart(cine, other, generator)
    return Screen(screen.frames[:1], screen.beams)


def _panels(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Even panels with text beside the image, larger than it at times."""
    right = int(generator.integers(60, 380))
    canvas = _Canvas(cine, generator, margins=(0, right, 0, int(generator.integers(0, 120))))
    height, width = canvas.shape
    grey = int(generator.integers(26, 120))
    canvas.paint(width - right, 0, width, height, grey)
    for row in range(16, height - 20, 36):
        canvas.write(width - right + 12, row, f"{generator.choice(WORDS)} {generator.integers(99)}", 255 - grey)
    return canvas.screen()


def _white_viewer(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """An image on a white page."""
    canvas = _Canvas(cine, generator, margins=tuple(int(m) for m in generator.integers(20, 120, 4)), ground=245)
    canvas.write(30, 4, "Case 12: lung point", 10)
    return canvas.screen()


def _cut_out(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """A beam on white: a figure of a paper."""
    frames = np.where(cine.inside, cine.frames, 255).astype(np.uint8)
    return Screen(frames, (cine.inside,))


def _trace(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """An electrocardiogram runs beneath the image."""
    canvas = _Canvas(cine, generator, margins=(10, 30, 60, 30))
    height, width = canvas.shape
    columns = np.arange(width)
    step, period = int(generator.integers(8, 40)), int(generator.integers(90, 200))
    for number, frame in enumerate(canvas.frames):
        beat = np.exp(-((((columns + step * number) % period - 40) / 5.0) ** 2))
        rows = (height - 20 - generator.uniform(10, 34) * beat).astype(int)
        frame[rows, columns] = 200
        frame[rows + 1, columns] = 200
    return canvas.screen()


def _title(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """A page of text comes first."""
    page = _page(cine.frames.shape[1:], generator, dark=bool(generator.random() < 0.3))
    n_pages = int(generator.integers(2, 2 * len(cine.frames)))
    return Screen(np.concatenate([np.repeat(page[None], n_pages, axis=0), cine.frames]), (cine.inside,))


def _black_start(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    black = np.zeros((int(generator.integers(2, 2 * len(cine.frames))), *cine.frames.shape[1:]), np.uint8)
    return Screen(np.concatenate([black, cine.frames]), (cine.inside,))


def _depth_change(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Another depth from the middle on."""
    second = _fitted(other, cine.frames.shape[1], cine.frames.shape[2])
    return Screen(np.concatenate([cine.frames, second.frames]), (cine.inside | second.inside,))


def _side_by_side(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Two live images."""
    second = _fitted(other, cine.frames.shape[1], cine.frames.shape[2])
    return _joined(cine, second, int(generator.integers(0, 12)))


def _compared(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """A live image beside a frozen one: the live one is the clip."""
    second = _fitted(other, cine.frames.shape[1], cine.frames.shape[2])
    frozen = Cine(np.repeat(second.frames[:1], len(cine.frames), axis=0), second.inside)
    live_first = bool(generator.random() < 0.5)
    screen = _joined(cine, frozen, 6) if live_first else _joined(frozen, cine, 6)
    return Screen(screen.frames, (screen.beams[0 if live_first else 1],))


def _with_strip(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """An M-mode strip is swept beneath the image."""
    height, width = cine.inside.shape
    strip = _strip(len(cine.frames), int(height * generator.uniform(0.3, 1.0)), width, generator)
    frames = np.concatenate([cine.frames, strip], axis=1)
    return Screen(frames, (np.pad(cine.inside, ((0, strip.shape[1]), (0, 0))),))


def _thumbnails(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Small stills in a column."""
    from PIL import Image

    canvas = _Canvas(cine, generator, margins=(0, 110, 0, 0))
    height, width = canvas.shape
    small = np.asarray(Image.fromarray(other.frames[0]).resize((90, 80), Image.Resampling.BILINEAR))
    for row in range(10, height - 85, 92):
        canvas.frames[:, row : row + 80, width - 100 : width - 10] = small
    return canvas.screen()


def _tilted(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """The image is drawn leaning."""
    from PIL import Image

    angle = float(generator.uniform(8, 25) * generator.choice((-1, 1)))
    margin = max(cine.inside.shape) // 4

    def turned(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(np.pad(picture, margin)).rotate(angle, Image.Resampling.BILINEAR))

    frames = np.stack([turned(frame) for frame in cine.frames])
    return Screen(frames, (turned(cine.inside.astype(np.uint8) * 255) > 127,))


def _annotated(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Words and callipers on the image."""
    canvas = _Canvas(cine, generator, margins=(0, 0, 0, 0))
    height, width = canvas.shape
    for _ in range(3):
        row, column = int(generator.uniform(0.1, 0.9) * height), int(generator.uniform(0.1, 0.7) * width)
        canvas.write(column, row, str(generator.choice(WORDS)), 255)
        canvas.paint(column, row, column + 60, row + 1, 255)
    return canvas.screen()


def _cropped(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """Cut within the image until hardly a side shows."""
    rows, columns = np.nonzero(cine.inside)
    y0, x0 = rows.min(), columns.min()
    y1, x1 = rows.max() + 1, columns.max() + 1
    dy, dx = int((y1 - y0) * generator.uniform(0.03, 0.25)), int((x1 - x0) * generator.uniform(0.1, 0.3))
    window = np.s_[y0 + dy : y1 - dy // 2, x0 + dx : x1 - dx]
    return Screen(np.ascontiguousarray(cine.frames[:, *window]), (cine.inside[window],))


def _white_page(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    return Screen(_page((480, 640), generator, dark=False)[None], ())


def _dark_page(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    return Screen(_page((480, 640), generator, dark=True)[None], ())


def _uniform(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    return Screen(np.full(cine.frames.shape, generator.integers(0, 256), np.uint8), ())


def _noise(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """A recorder without a signal."""
    level = float(generator.uniform(1, 60))
    return Screen(np.clip(generator.normal(level / 2, level / 3, cine.frames.shape), 0, 255).astype(np.uint8), ())


def _bars(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """A recorder's test picture."""
    greys = generator.integers(0, 256, 8)
    return Screen(np.repeat(np.broadcast_to(np.repeat(greys, 80), (1, 480, 640)), 8, axis=0).astype(np.uint8), ())


def _panels_only(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    """A form without an image."""
    empty = Cine(np.zeros_like(cine.frames), np.zeros_like(cine.inside))
    return Screen(_panels(empty, other, generator).frames, ())


def _strip_only(cine: Cine, other: Cine, generator: np.random.Generator) -> Screen:
    height, width = cine.inside.shape
    return Screen(_strip(len(cine.frames), height // 2, width, generator), ())


SCREENS: Mapping[str, Callable[[Cine, Cine, np.random.Generator], Screen]] = MappingProxyType(
    {
        "plain": _plain,
        "still": _still,
        "frozen": _frozen,
        "dark": _dark,
        "cart": _cart,
        "still-cart": _still_cart,
        "panels": _panels,
        "white-viewer": _white_viewer,
        "cut-out": _cut_out,
        "trace": _trace,
        "title": _title,
        "black-start": _black_start,
        "depth-change": _depth_change,
        "side-by-side": _side_by_side,
        "compared": _compared,
        "with-strip": _with_strip,
        "thumbnails": _thumbnails,
        "tilted": _tilted,
        "annotated": _annotated,
        "cropped": _cropped,
        "white-page": _white_page,
        "dark-page": _dark_page,
        "uniform": _uniform,
        "noise": _noise,
        "bars": _bars,
        "panels-only": _panels_only,
        "strip-only": _strip_only,
    }
)
"""The screens by name."""


class _Canvas:
    """A cine with room around it, to draw on."""

    def __init__(self, cine: Cine, generator: np.random.Generator, margins: tuple[int, ...], ground: int = 0) -> None:
        top, right, bottom, left = margins
        room = ((top, bottom), (left, right))
        self.frames = np.pad(cine.frames, ((0, 0), *room), constant_values=ground)
        self._inside = np.pad(cine.inside, room)

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self._inside.shape
        return height, width

    def paint(self, x0: int, y0: int, x1: int, y1: int, grey: int) -> None:
        self.frames[:, y0:y1, x0:x1] = grey

    def write(self, x: int, y: int, words: str, grey: int) -> None:
        for frame in self.frames:
            _write(frame, x, y, words, grey)

    def grey_bar(self, x: int, y: int, length: int) -> None:
        self.frames[:, y : y + length, x : x + 12] = np.linspace(250, 10, length).astype(np.uint8)[:, None]

    def screen(self) -> Screen:
        return Screen(self.frames, (self._inside,))


def _write(frame: NDArray[np.uint8], x: int, y: int, words: str, grey: int, size: int = 13) -> None:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(frame)
    ImageDraw.Draw(picture).text((x, y), words, fill=grey, font=ImageFont.load_default(size))
    frame[:] = np.asarray(picture)


def _page(shape: tuple[int, ...], generator: np.random.Generator, *, dark: bool) -> NDArray[np.uint8]:
    """A page of text."""
    page = np.full(shape, int(generator.integers(0, 60) if dark else generator.integers(200, 256)), np.uint8)
    size = int(generator.integers(10, 26))
    for row in range(20, shape[0] - size, int(size * generator.uniform(1.3, 2.5))):
        words = " ".join(str(word) for word in generator.choice(WORDS, int(generator.integers(1, 9))))
        _write(page, 20, row, words, 230 if dark else 20, size)
    return page


def _strip(n: int, height: int, width: int, generator: np.random.Generator) -> Frames:
    """Bands that wave, and a bar that sweeps over them."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    wave = y + generator.uniform(1, 5) * np.sin(x / generator.uniform(5, 15))
    bands = 60 + 50 * np.sin(wave / generator.uniform(3, 8)) + generator.normal(0, 14, (height, width))
    frames = np.empty((n, height, width), np.uint8)
    for number in range(n):
        frames[number] = np.clip(bands, 10, 255)
        head = width * (number + 1) // (n + 1)
        frames[number, :, head : head + 4] = 0
    return frames


def _joined(left: Cine, right: Cine, gap: int) -> Screen:
    """Two images side by side."""
    space = np.zeros((len(left.frames), left.frames.shape[1], gap), np.uint8)
    frames = np.concatenate([left.frames, space, right.frames], axis=2)
    first = np.pad(left.inside, ((0, 0), (0, frames.shape[2] - left.inside.shape[1])))
    second = np.pad(right.inside, ((0, 0), (frames.shape[2] - right.inside.shape[1], 0)))
    return Screen(frames, (first, second))


def _fitted(cine: Cine, height: int, width: int) -> Cine:
    """A cine at another size, not squashed, on black."""
    from PIL import Image

    scale = min(height / cine.inside.shape[0], width / cine.inside.shape[1])
    size = (max(int(cine.inside.shape[1] * scale), 1), max(int(cine.inside.shape[0] * scale), 1))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    room = ((top, height - size[1] - top), (left, width - size[0] - left))

    def scaled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.pad(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)), room)

    frames = np.stack([scaled(frame) for frame in cine.frames])
    return Cine(frames, scaled(cine.inside.astype(np.uint8) * 255) > 127)
