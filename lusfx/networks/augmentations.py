"""Random views of frames, batch by batch on the frames' own device: BYOL's pipeline, and one that keeps ultrasound ultrasound.

Frames are ``(n, 1, size, size)`` in [0, 1]. What lies outside the beam is 0 and stays 0. Every frame has its own parameters,
drawn from the caller's generator alone.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch

from lusfx.errors import UsageError
from lusfx.networks.degradation import degraded
from lusfx.networks.draws import Draws
from lusfx.networks.sector import Sector, beam_of

CROP_TRIES = 8
"""Crops drawn a frame; the first that shows enough of the beam is taken."""
MIN_BEAM_IN_CROP = 0.25
"""Share of a crop that must be beam: the corners beside a sector show nothing."""
SOLARISE_FROM = 0.5
"""Grey level from which solarising inverts: 128 of 256."""
BLUR_SIDE_PX = 224
"""Side of the images that BYOL's blur, in pixels, was made for."""
SPECKLE_GRID = (80, 40)
"""Speckles along depth and across the beam, as many as in the authors' code."""


class Augmentation(ABC):
    """Makes one view of every frame."""

    def __call__(self, frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """New frames of the same shape, device and type; those given stay as they are.

        :param frames: ``(n, 1, size, size)`` float in [0, 1].
        :param generator: on the frames' device, or on the CPU for the same views on any device.
        :raises UsageError: if the frames are not of this shape, or not floating.
        """
        if frames.ndim != 4 or frames.shape[1] != 1 or frames.shape[2] != frames.shape[3] or len(frames) == 0:
            raise UsageError(f"an augmentation needs frames (n, 1, size, size), not {tuple(frames.shape)}")
        if not frames.is_floating_point():
            raise UsageError("an augmentation needs floating frames in [0, 1]")
        with torch.no_grad():
            view = self._view(frames.float(), Draws(generator, frames.device))
        return view.to(frames.dtype)

    @abstractmethod
    def _view(self, frames: torch.Tensor, draws: Draws) -> torch.Tensor:
        """One view of frames in float32."""


class ByolAugmentation(Augmentation):
    """BYOL's pipeline for grey images (Grill et al. 2020, appendix B): crop, flip, brightness and contrast, blur, solarise.

    A crop that would show hardly any beam is drawn again. Contrast is about the mean of the beam, not of beam and black.

    :param blur: probability of the Gaussian blur.
    :param solarise: probability of solarising.
    :param min_area: smallest share of the frame's area that a crop has.
    """

    def __init__(self, blur: float = 0.5, solarise: float = 0.1, min_area: float = 0.08) -> None:
        if not (0 <= blur <= 1 and 0 <= solarise <= 1 and 0 < min_area <= 1):
            raise UsageError("probabilities and areas are from 0 to 1")
        self.blur = blur
        self.solarise = solarise
        self.min_area = min_area

    def _view(self, frames: torch.Tensor, draws: Draws) -> torch.Tensor:
        beam = beam_of(frames)
        grid = _pixel_grid(frames) * draws.sign(len(frames))
        view, beam = _sampled(frames, beam, self._cropped(grid, beam, draws))
        view = _brightness_and_contrast(view, beam, draws, probability=0.8, strength=0.4)
        size = frames.shape[-1]
        chosen = draws.chosen(len(view), self.blur)
        view[chosen] = _blurred(view[chosen], draws.uniform(len(chosen), 0.1, 2.0) * size / BLUR_SIDE_PX)
        chosen = draws.chosen(len(view), self.solarise)
        view[chosen] = torch.where(view[chosen] >= SOLARISE_FROM, 1 - view[chosen], view[chosen])
        return view * beam

    def _cropped(self, grid: torch.Tensor, beam: torch.Tensor, draws: Draws) -> torch.Tensor:
        """The grid ``(n, size, size, 2)`` moved into random crops that show the beam."""
        n, size = len(beam), beam.shape[-1]
        area = draws.uniform(n * CROP_TRIES, self.min_area, 1.0)
        aspect = draws.uniform(n * CROP_TRIES, math.log(3 / 4), math.log(4 / 3)).exp()
        sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1).clamp(max=1).view(n, CROP_TRIES, 2)
        corner = draws.uniform(2 * n * CROP_TRIES, 0.0, 1.0).view(n, CROP_TRIES, 2) * (1 - sides)
        share = _beam_share(beam, (corner * size).round().long(), ((corner + sides) * size).round().long())
        enough = (beam.mean(dim=(1, 2, 3)) / 2).clamp(max=MIN_BEAM_IN_CROP)[:, None]
        # The first that shows enough; where none does, the one that shows most.
        rank = torch.where(share >= enough, 2.0 + torch.arange(CROP_TRIES, 0, -1, device=share.device), share)
        best = rank.argmax(dim=1)[:, None, None].expand(n, 1, 2)
        corner, sides = corner.gather(1, best), sides.gather(1, best)
        middle = 2 * corner + sides - 1
        return grid * sides[:, None] + middle[:, None]


class UltrasoundAugmentation(Augmentation):
    """Views that another machine, transducer or hand could have given (VanBerlo et al. 2025, arXiv 2504.07904, AugUS-O).

    After the authors' code (github.com/bvanberl/aug_us_ssl), in its order and with its probabilities and ranges: probe type,
    convexity, depth, denoising by wavelets, local contrast, gamma, brightness and contrast, speckle, Gaussian noise, salt and
    pepper, flip, shift and rotation. What differs:

    * The beam's shape is found in the image, and all that moves pixels is one interpolation.
    * Wavelets are those of the isotropic undecimated transform (Starck & Murtagh 2006), so that no blocks appear.
    * Local contrast is raised about a wide local mean; there is no histogram equalisation in torch.
    * Speckle multiplies the image in the beam's own coordinates, and does not blur it to the speckles' grid besides.
    """

    def _view(self, frames: torch.Tensor, draws: Draws) -> torch.Tensor:
        n = len(frames)
        beam = beam_of(frames)
        grid = _shifted_and_rotated(_pixel_grid(frames) * draws.sign(n), draws)
        source, place = _reshaped(Sector.of(beam), grid, draws)
        view, beam = _sampled(frames, beam, source)
        chosen = draws.chosen(n, 0.5)
        view[chosen] = _denoised(view[chosen], draws.uniform(len(chosen), 0.5, 2.0))
        chosen = draws.chosen(n, 1 / 3)
        view[chosen] = _local_contrast(view[chosen], beam[chosen], draws.uniform(len(chosen), 0.3, 1.0))
        chosen = draws.chosen(n, 0.5)
        gamma = draws.uniform(len(chosen), math.log(0.5), math.log(2.0)).exp()
        view[chosen] = view[chosen] ** gamma.view(-1, 1, 1, 1)
        view = _brightness_and_contrast(view, beam, draws, probability=0.5, strength=0.4)
        chosen = draws.chosen(n, 1 / 3)
        view[chosen] = _speckled(view[chosen], place[chosen], draws)
        chosen = draws.chosen(n, 1 / 3)
        noise = draws.normal(view[chosen].shape) * draws.uniform(len(chosen), 0.5 / 255, 2.5 / 255).view(-1, 1, 1, 1)
        view[chosen] = view[chosen] + noise
        chosen = draws.chosen(n, 0.1)
        view[chosen] = _salt_and_pepper(view[chosen], draws)
        return view.clamp(0, 1) * beam


class DegradedAugmentation(UltrasoundAugmentation):
    """:class:`UltrasoundAugmentation` of frames of poorer quality: shaded, darker, hazier and noisier.

    For pictures that are clearer than those which the encoder is to see, simulated ones above all. One in five stays clear.
    """

    def _view(self, frames: torch.Tensor, draws: Draws) -> torch.Tensor:
        poorer = frames.clone()
        chosen = draws.chosen(len(frames), 0.8)
        poorer[chosen] = degraded(frames[chosen], beam_of(frames[chosen]), draws)
        return super()._view(poorer, draws)


def byol_views() -> tuple[Augmentation, Augmentation]:
    """The two unlike views of BYOL: one always blurred, the other now and then blurred or solarised."""
    return ByolAugmentation(blur=1.0, solarise=0.0), ByolAugmentation(blur=0.1, solarise=0.2)


def ultrasound_views() -> tuple[Augmentation, Augmentation]:
    """Two views of one kind, as in the paper."""
    return UltrasoundAugmentation(), UltrasoundAugmentation()


def degraded_views() -> tuple[Augmentation, Augmentation]:
    """Two views of one kind."""
    return DegradedAugmentation(), DegradedAugmentation()


AUGMENTATIONS: Mapping[str, Callable[[], tuple[Augmentation, Augmentation]]] = {
    "byol": byol_views,
    "ultrasound": ultrasound_views,
    "degraded": degraded_views,
}
"""By name, what makes a pair's two views."""


def _pixel_grid(frames: torch.Tensor) -> torch.Tensor:
    """``(1, size, size, 2)`` image coordinates of the pixels."""
    size = frames.shape[-1]
    at = (2 * torch.arange(size, device=frames.device, dtype=torch.float32) + 1) / size - 1
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)[None]


def _sampled(frames: torch.Tensor, beam: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames and beam at the places of the grid ``(n, size, size, 2)``, 0 beyond the border."""
    both = torch.nn.functional.grid_sample(torch.cat([frames, beam], dim=1), grid, align_corners=False)
    inside = (both[:, 1:] > 0.5).float()
    return both[:, :1] * inside, inside


def _beam_share(beam: torch.Tensor, start: torch.Tensor, stop: torch.Tensor) -> torch.Tensor:
    """Share of beam ``(n, k)`` in rectangles from ``start`` to ``stop``, ``(n, k, 2)`` columns and rows."""
    size = beam.shape[-1]
    total = torch.nn.functional.pad(beam[:, 0].cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten(1)
    (x0, y0), (x1, y1) = start.unbind(-1), stop.unbind(-1)
    inside = sum(
        sign * total.gather(1, y * (size + 1) + x)
        for sign, x, y in ((1, x1, y1), (-1, x0, y1), (-1, x1, y0), (1, x0, y0))
    )
    share: torch.Tensor = inside / ((x1 - x0) * (y1 - y0)).clamp(min=1)
    return share


def _shifted_and_rotated(grid: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Half of the grids turned by up to 22.5 degrees and moved by up to 0.15 of the side."""
    n = len(grid)
    moved = draws.happens(n, 0.5).float()
    angle = moved * draws.uniform(n, -math.pi / 8, math.pi / 8)
    shift = moved[:, None] * draws.uniform(2 * n, -0.3, 0.3).view(n, 2)
    sine, cosine = angle.sin(), angle.cos()
    turn = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -1)
    return (grid - shift[:, None, None]) @ turn[:, None]


def _reshaped(sector: Sector, grid: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
    """Another probe type for 3 in 10, another convexity for 3 in 4 sectors, another depth for half.

    :param grid: ``(n, size, size, 2)`` image coordinates of the view's pixels.
    :return: the same shape each: where the pixels are in the frames, beyond the border if nowhere; and lateral and depth in
        the view's own sector.
    """
    n = len(grid)
    other_probe = draws.happens(n, 0.3)
    other_angle = draws.happens(n, 0.75) & ~sector.linear & ~other_probe
    other_depth = draws.happens(n, 0.5)
    curved, straight = other_probe & sector.linear, other_probe & ~sector.linear
    top = torch.where(curved, draws.uniform(n, 0.0, 0.5), draws.uniform(n, 0.0, 0.75))
    top = torch.where(straight, 1.0, top)
    narrowed = torch.where(straight, draws.uniform(n, 0.5, 1.0), 1.0)
    shape = sector.with_top(top, narrowed).where(other_probe | other_angle, sector)
    deeper = torch.where(other_depth, 1 / draws.uniform(n, 0.8, 2.0), 1.0)
    shape = Sector(shape.x, shape.y, shape.half_angle, shape.near, shape.near + deeper * (shape.far - shape.near))
    changed = other_probe | other_angle | other_depth
    view = shape.fitted(sector).where(changed, sector)
    place = view.to_own(grid)
    source_place = torch.stack([place[..., 0], place[..., 1] * deeper[:, None, None]], dim=-1)
    outside = (source_place[..., 0].abs() > 1) | (source_place[..., 1] < 0) | (source_place[..., 1] > 1)
    source = sector.to_image(source_place).masked_fill(outside[..., None], 2.0)
    return torch.where(changed[:, None, None, None], source, grid), place


def _brightness_and_contrast(
    view: torch.Tensor, beam: torch.Tensor, draws: Draws, *, probability: float, strength: float
) -> torch.Tensor:
    """Both by factors from 1 - strength to 1 + strength; contrast about the mean of the beam."""
    n = len(view)
    happens = draws.happens(n, probability).float()
    brightness, contrast = ((1 + happens * draws.uniform(n, -strength, strength)).view(-1, 1, 1, 1) for _ in range(2))
    view = (view * brightness).clamp(max=1)
    mean = (view * beam).sum(dim=(2, 3), keepdim=True) / beam.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return (mean + contrast * (view - mean)).clamp(0, 1) * beam


def _blurred(view: torch.Tensor, sigma_px: torch.Tensor) -> torch.Tensor:
    """By a Gaussian of standard deviation ``(n,)``; as two products, so that each frame can have its own."""
    at = torch.arange(view.shape[-1], device=view.device, dtype=torch.float32)
    kernel = torch.exp(-(at[:, None] - at).square() / (2 * sigma_px.view(-1, 1, 1).square()))
    kernel = kernel / kernel.sum(dim=2, keepdim=True)
    return (kernel @ view[:, 0] @ kernel.mT).clamp(0, 1)[:, None]


def _denoised(view: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Details of two scales shrunk towards 0 by ``strength`` ``(n,)`` times their mean size."""
    smooth, details = view, torch.zeros_like(view)
    for spacing in (1, 2):
        smoother = _spline(smooth, spacing)
        detail = smooth - smoother
        limit = strength.view(-1, 1, 1, 1) * detail.abs().mean(dim=(2, 3), keepdim=True)
        details = details + detail.sign() * (detail.abs() - limit).clamp(min=0)
        smooth = smoother
    return (smooth + details).clamp(0, 1)


def _spline(view: torch.Tensor, spacing: int) -> torch.Tensor:
    """Smoothed by the cubic B-spline 1 4 6 4 1 with gaps: one scale of the undecimated transform.

    Sums of shifted images, which take a fifth of the time of torch's convolution on a CPU.
    """
    size = view.shape[-1]
    for axis, border in ((2, (0, 0, 2 * spacing, 2 * spacing)), (3, (2 * spacing, 2 * spacing, 0, 0))):
        padded = torch.nn.functional.pad(view, border, mode="reflect")
        a, b, c, d, e = (padded.narrow(axis, i * spacing, size) for i in range(5))
        view = (a + e + 4 * (b + d) + 6 * c) / 16
    return view


def _local_contrast(view: torch.Tensor, beam: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Differences from the mean of the surroundings, within the beam, times 1 + ``strength`` ``(n,)``."""
    sigma_px = torch.full_like(strength, view.shape[-1] / 8)
    mean = _blurred(view, sigma_px) / _blurred(beam, sigma_px).clamp(min=1e-3)
    return (view + strength.view(-1, 1, 1, 1) * (view - mean)).clamp(0, 1) * beam


def _speckled(view: torch.Tensor, place: torch.Tensor, draws: Draws) -> torch.Tensor:
    """A complex normal field added to the amplitude, smooth in the beam's own coordinates (Singh et al. 2017).

    :param place: ``(n, size, size, 2)`` lateral and depth.
    """
    n = len(view)
    if n == 0:
        return view
    field = draws.normal((n, 2, *SPECKLE_GRID)) * draws.uniform(n, 0.03, 0.1).view(-1, 1, 1, 1)
    own = torch.stack([place[..., 0], 2 * place[..., 1] - 1], dim=-1)
    real, imaginary = torch.nn.functional.grid_sample(field, own, align_corners=False).split(1, dim=1)
    return ((view.clamp(min=0).sqrt() + real).square() + imaginary.square()).clamp(max=1)


def _salt_and_pepper(view: torch.Tensor, draws: Draws) -> torch.Tensor:
    """From 1 to 5 in 1000 pixels white, and as many black."""
    n = len(view)
    salt, pepper = (draws.uniform(n, 0.001, 0.005).view(-1, 1, 1, 1) for _ in range(2))
    level = draws.uniform(view.numel(), 0.0, 1.0).view(view.shape)
    return torch.where(level < salt, 1.0, torch.where(level > 1 - pepper, 0.0, view))
