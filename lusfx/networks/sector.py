"""The beam's shape as the image shows it, and the same image as a beam of another shape would show it.

Every beam is taken for a sector: a curved array's image between two arcs about one apex. A linear array's is one whose apex is
far away, a phased array's one whose inner arc is short. In a sector's own coordinates, lateral from -1 to 1 and depth from 0
to 1, a change of transducer or depth is a change of the sector alone, after VanBerlo et al. 2025 (arXiv 2504.07904).

Image coordinates are those of torch's ``grid_sample``: -1 to 1 from border to border, x to the right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

LINEAR = 0.03
"""Half the opening angle, in radians, up to which a beam counts as linear."""
LINEAR_GIVEN = 0.003
"""Half the opening angle that a linear beam is given: its top is then hardly narrower than its bottom."""
MAX_SINE = 0.94
"""Of half the opening angle: no beam opens wider than 140 degrees."""
MIN_DEPTH = 0.02
"""Least distance of the arcs, so that depth can be told."""
FULL_WIDTH = 0.97
"""A row this wide, as a share of the widest, is where the sides end."""
MIN_SIDE = 0.15
"""Shortest side, as a share of the beam's height, from which an angle can be told."""


def beam_of(frames: torch.Tensor) -> torch.Tensor:
    """Where the beam is: between the first and last pixels above 0 of the row, and of the column.

    Shadows and fluid inside the beam are in it, however black. What is black up to the beam's edge is not told from outside.

    :param frames: ``(n, 1, size, size)``.
    :return: the same shape, 1.0 inside and 0.0 outside.
    """
    seen = (frames > 0).to(torch.float32)
    across = seen.cummax(dim=3).values * seen.flip(3).cummax(dim=3).values.flip(3)
    along = seen.cummax(dim=2).values * seen.flip(2).cummax(dim=2).values.flip(2)
    return across * along


@dataclass(frozen=True, slots=True)
class Sector:
    """Sectors of a batch of frames; each tensor is ``(n,)``, lengths in image coordinates.

    :param x: of the apex.
    :param y: of the apex.
    :param half_angle: from the middle to a side, radians.
    :param near: from the apex to the inner arc.
    :param far: from the apex to the outer arc.
    """

    x: torch.Tensor
    y: torch.Tensor
    half_angle: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor

    @classmethod
    def of(cls, beam: torch.Tensor) -> Sector:
        """That explains each mask ``(n, 1, size, size)``; the whole frame, as a linear beam, for an empty one.

        The sides are a straight line through the half widths of the rows from the top to the widest row.
        """
        mask = beam[:, 0] > 0.5
        mask = mask | ~mask.any(dim=(1, 2), keepdim=True)
        size = mask.shape[-1]
        at = (2 * torch.arange(size, device=mask.device, dtype=torch.float32) + 1) / size - 1
        rows = mask.any(dim=2)
        left = torch.where(mask, at, 2.0).amin(dim=2)
        right = torch.where(mask, at, -2.0).amax(dim=2)
        half = torch.where(rows, (right - left) / 2 + 1 / size, 0.0)
        top = torch.where(rows, at, 2.0).amin(dim=1) - 1 / size
        bottom = torch.where(rows, at, -2.0).amax(dim=1) + 1 / size
        widest = half.amax(dim=1)
        full = torch.argmax((half >= FULL_WIDTH * widest[:, None]).to(torch.uint8), dim=1)
        order = torch.arange(size, device=mask.device)
        side = (rows & (order <= full[:, None])).to(torch.float32)
        count = side.sum(dim=1)
        middle = (side * (left + right) / 2).sum(dim=1) / count
        mean_y, mean_half = (side * at).sum(dim=1) / count, (side * half).sum(dim=1) / count
        off = side * (at - mean_y[:, None])
        slope = (off * half).sum(dim=1) / off.square().sum(dim=1).clamp(min=1e-6)
        angle = torch.atan(slope)
        linear = (count * 2 / size < MIN_SIDE * (bottom - top)) | (angle < LINEAR)
        angle = torch.where(linear, LINEAR_GIVEN, angle).clamp(max=torch.pi * 0.39)
        # A linear beam's outer arc is as wide as the beam, so far away that it is flat.
        far = torch.where(linear, widest / torch.sin(angle), bottom - mean_y + mean_half / torch.tan(angle))
        apex = bottom - far
        near = torch.where(linear, top - apex, (top - apex) / torch.cos(angle))
        return cls(middle, apex, angle, torch.minimum(near.clamp(min=0), far - MIN_DEPTH), far)

    @property
    def linear(self) -> torch.Tensor:
        """``(n,)`` bool."""
        return self.half_angle <= LINEAR

    def with_top(self, share: torch.Tensor, narrowed: torch.Tensor) -> Sector:
        """The sector with sides of the same length, whose top is this share ``(n,)`` of its bottom's width; somewhere else.

        :param narrowed: ``(n,)`` factor on the width of the bottom.
        """
        width = self.far * torch.sin(self.half_angle) * narrowed
        side = self.far - self.near
        sine = (width * (1 - share) / side).clamp(min=LINEAR_GIVEN, max=MAX_SINE)
        far = torch.maximum(width / sine, side)
        return Sector(self.x, self.y, torch.asin(sine), far - side, far)

    def fitted(self, other: Sector) -> Sector:
        """This sector where the other is: about its middle, and as large."""
        width, height = self._extent()
        other_width, other_height = other._extent()
        factor = torch.maximum(other_width, other_height) / torch.maximum(width, height)
        bottom = other.y + other.far - other_height / 2 + factor * height / 2
        return Sector(other.x, bottom - factor * self.far, self.half_angle, factor * self.near, factor * self.far)

    def _extent(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Width and height of the rectangle about it, ``(n,)`` each."""
        return 2 * self.far * torch.sin(self.half_angle), self.far - self.near * torch.cos(self.half_angle)

    def to_own(self, grid: torch.Tensor) -> torch.Tensor:
        """Image coordinates ``(n, height, width, 2)`` as lateral and depth."""
        x, y = grid[..., 0] - _wide(self.x), grid[..., 1] - _wide(self.y)
        lateral = torch.atan2(x, y) / _wide(self.half_angle)
        depth = (torch.hypot(x, y) - _wide(self.near)) / _wide(self.far - self.near)
        return torch.stack([lateral, depth], dim=-1)

    def to_image(self, own: torch.Tensor) -> torch.Tensor:
        """Lateral and depth ``(n, height, width, 2)`` as image coordinates."""
        angle = own[..., 0] * _wide(self.half_angle)
        radius = _wide(self.near) + own[..., 1] * _wide(self.far - self.near)
        return torch.stack(
            [_wide(self.x) + radius * torch.sin(angle), _wide(self.y) + radius * torch.cos(angle)], dim=-1
        )

    def where(self, chosen: torch.Tensor, other: Sector) -> Sector:
        """This one for the chosen frames, ``(n,)`` bool, and the other elsewhere."""
        return Sector(
            torch.where(chosen, self.x, other.x),
            torch.where(chosen, self.y, other.y),
            torch.where(chosen, self.half_angle, other.half_angle),
            torch.where(chosen, self.near, other.near),
            torch.where(chosen, self.far, other.far),
        )


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None]
