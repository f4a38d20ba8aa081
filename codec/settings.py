"""`Settings`: what a caller may choose when an image is compressed. Knows numbers and names only, so that
--help need not load a model; a wrong choice is refused when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from codec.presets import ORDERS, TILE


@dataclass(frozen=True)
class Settings:
    """The bytes of a file depend on the pixels and on budget, order, seed, plain, quick, best and tile, and
    on nothing else here.

    budget: most network calls per tile; None: as many as raster order takes. More calls, smaller files, same
    weights, and the same work in all. order: "raster", "lattice", or "auto", what the budget allows and the
    measured bits favour. seed: code pixels in a seeded random order instead, for study. plain: by the
    network's distributions alone, without learning from the image while it is coded: quicker and larger.
    quick: the same in raster order, by a smaller network: quicker still; sets plain and order. best: the
    smallest file, by a larger network and in larger tiles. tile: largest side of a tile, a multiple of 4;
    None: as suits the image. device: "cpu", "cuda" or "auto", for lattice
    and random order. threads: CPU threads to use from now on in this process; 0 leaves them as they are.
    verify: decode the result, and compare.

    Raises ValueError for a choice that cannot be.
    """

    budget: int | None = None
    order: str = "auto"
    seed: int | None = None
    plain: bool = False
    quick: bool = False
    best: bool = False
    tile: int | None = None
    device: str = "cpu"
    threads: int = 0
    verify: bool = True

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget must be at least 1 network call, got {self.budget}.")
        if self.tile is not None:
            _check_tile(self.tile)
        if self.quick:
            if self.budget is not None or self.seed is not None or self.order == "lattice":
                raise ValueError(
                    "quick is coding in raster order, of as many network calls as it takes; leave out "
                    "budget, order and seed."
                )
            object.__setattr__(self, "plain", True)
            object.__setattr__(self, "order", "raster")
        if self.best and (self.budget or self.order != "auto" or self.plain or self.seed is not None):
            raise ValueError("best chooses itself; leave out budget, order, seed, plain and quick.")
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be within 0..2**32-1, got {self.seed}.")
        if self.order not in ORDERS or (self.seed is not None and self.order == "raster"):
            raise ValueError(
                f"order must be one of {', '.join(ORDERS)}, and not raster with a seed; got {self.order!r} "
                f"with seed={self.seed}."
            )

    @property
    def largest_tile(self) -> int | None:
        """Largest side of a tile; None: as suits the image."""
        return TILE if self.best and self.tile is None else self.tile


def _check_tile(tile: int) -> None:
    from ardm.orders import PATCH
    from codec.container import MAX_TILE

    if tile < PATCH or tile % PATCH or tile > MAX_TILE:
        raise ValueError(f"tile must be a multiple of {PATCH} up to {MAX_TILE}, got {tile}.")


NAMES = tuple(field.name for field in fields(Settings))


def settings_of(settings: Settings | None, options: dict[str, Any]) -> Settings:
    """The settings that a call was given: `settings` or the usual ones, changed by those that were given by
    name. Raises ValueError as `Settings` does, and TypeError for a name that is none of theirs.
    """
    if unknown := [name for name in options if name not in NAMES]:
        raise TypeError(f"there is no option {unknown[0]!r}; expected one of {', '.join(NAMES)}.")
    return replace(settings or Settings(), **options)
