"""Simulated machines: each with its own layout, size, frame rate, grey map, grain and transducers.

None copies a real product: sizes, rates and layouts are of the kinds that are met, and the names say that they are synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lusfx.synth.geometry import Placement, ProbeKind, Transducer
from lusfx.synth.speckle import Grain, Texture

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


@dataclass(frozen=True, slots=True)
class Decoration:
    """What a machine draws beside the beam.

    :param texts: column, row and words; the rows count from the bottom where negative.
    :param ticks_x: column of the depth scale, a tick each centimetre; none where None.
    :param bar: left, top, width and height of the grey bar in pixels; none where None.
    :param logo: corner of a maker's sign; none where None. ``colour`` is that of logo and marks.
    :param marker: whether the orientation mark is drawn beside the face.
    """

    texts: tuple[tuple[int, int, str], ...] = ()
    ticks_x: int | None = None
    bar: tuple[int, int, int, int] | None = None
    logo: Corner | None = None
    colour: tuple[int, int, int] = (200, 200, 200)
    marker: bool = True


@dataclass(frozen=True, slots=True)
class Device:
    """A machine.

    :param frame_rate_hz: frames a second.
    :param dynamic_range_db: from black to white; ``gamma`` bends the grey map, below 1 lifts the dark.
    :param noise_db: of the receiver near the face, below white; ``noise_slope_db_mm`` is what gain over depth adds to it.
    :param persistence: share of the frame before that is left in each.
    :param transducers: by kind; each machine has a convex one.
    :param texture: of the picture itself, finer than the beam lines; None for none.
    :param tint: colour of white, for machines that colour their greys; None for grey pictures.
    """

    name: str
    placement: Placement
    frame_rate_hz: int
    dynamic_range_db: float
    gamma: float
    noise_db: float
    noise_slope_db_mm: float
    persistence: float
    grain: Grain
    transducers: tuple[Transducer, ...]
    decoration: Decoration
    tint: tuple[int, int, int] | None = None
    texture: Texture | None = None

    def transducer(self, kind: ProbeKind) -> Transducer:
        """The transducer of a kind."""
        return next(transducer for transducer in self.transducers if transducer.kind == kind)


DEVICES = {
    device.name: device
    for device in (
        Device(
            name="synthetic-cart",
            placement=Placement(256, 300, 12, 16, 280, 252, overflow=0.22),
            frame_rate_hz=25,
            dynamic_range_db=62,
            gamma=1.1,
            noise_db=-64,
            noise_slope_db_mm=0.10,
            persistence=0.25,
            grain=Grain(axial_mm=0.32, lateral_mm=0.8, focus_mm=45, n_looks=2),
            transducers=(
                Transducer("convex", radius_mm=60, half_angle_deg=33),
                Transducer("linear", width_mm=44),
                Transducer("phased", radius_mm=3, half_angle_deg=42),
            ),
            decoration=Decoration(
                texts=((150, 1, "Lung"), (2, 40, "FR 25"), (2, 52, "MI 0.9"), (2, -12, "C5-1")),
                ticks_x=284,
                bar=(290, 30, 6, 90),
                logo="bottom-right",
            ),
        ),
        Device(
            name="synthetic-portable",
            placement=Placement(256, 256, 0, 14, 256, 256, overflow=0.34),
            frame_rate_hz=20,
            dynamic_range_db=58,
            gamma=1.25,
            noise_db=-58,
            noise_slope_db_mm=0.05,
            persistence=0.1,
            grain=Grain(axial_mm=0.34, lateral_mm=1.3, focus_mm=40),
            transducers=(
                Transducer("convex", radius_mm=52, half_angle_deg=36),
                Transducer("linear", width_mm=38),
                Transducer("phased", radius_mm=2, half_angle_deg=40),
            ),
            decoration=Decoration(texts=((200, 1, "LUNG"),), marker=False),
        ),
        Device(
            name="synthetic-handheld",
            placement=Placement(288, 224, 4, 22, 214, 270, overflow=0.25),
            frame_rate_hz=18,
            dynamic_range_db=52,
            gamma=1.0,
            noise_db=-50,
            noise_slope_db_mm=0.05,
            persistence=0.35,
            grain=Grain(axial_mm=0.42, lateral_mm=1.5, focus_mm=55),
            transducers=(
                Transducer("convex", radius_mm=40, half_angle_deg=31),
                Transducer("linear", width_mm=40),
                Transducer("phased", radius_mm=4, half_angle_deg=36),
            ),
            decoration=Decoration(
                texts=((140, 6, "Lung Abd"), (4, -14, "15 cm")), ticks_x=216, logo="bottom-right", colour=(40, 160, 220)
            ),
            tint=(205, 225, 255),
        ),
        Device(
            name="synthetic-console",
            placement=Placement(240, 300, 20, 18, 266, 236, overflow=0.18),
            frame_rate_hz=30,
            dynamic_range_db=66,
            gamma=0.9,
            noise_db=-74,
            noise_slope_db_mm=0.13,
            persistence=0.4,
            grain=Grain(axial_mm=0.26, lateral_mm=0.65, focus_mm=50, n_looks=3),
            transducers=(
                Transducer("convex", radius_mm=62, half_angle_deg=35),
                Transducer("linear", width_mm=50),
                Transducer("phased", radius_mm=3, half_angle_deg=45),
            ),
            decoration=Decoration(
                texts=((96, 2, "THORAX 2D"), (226, 2, "30 Hz"), (232, -12, "G 55%"), (2, -12, "DR 66")),
                ticks_x=270,
                bar=(4, 60, 8, 110),
                logo="top-right",
                colour=(230, 120, 30),
            ),
            tint=(255, 244, 226),
        ),
    )
}
"""The machines by name."""
