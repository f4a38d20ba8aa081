"""The coder for graphics: mixing in raster order, without the network. Knows planes and payloads."""

from __future__ import annotations

import numpy as np

from codec.coder.arithmetic import mixed_bytes
from codec.coder.mixing import Mixing
from codec.coder.schedule import Schedule
from codec.coder.selftest import check_coder
from codec.coder.walk import as_rgb, planar
from codec.coder.work import Shape, Work


class GraphicsCoder:
    """A `codec.coder.work.PlaneCoder` of uint8 planes (h, w, 1 or 3)."""

    def encode(self, plane: np.ndarray, work: Work) -> bytes:
        check_coder(False)
        image = planar(as_rgb(plane))
        model = Mixing(plane.shape[2], plane.shape[0] * plane.shape[1], None)
        model.start_stage(np.zeros_like(image), image)
        model.code_raster(1)
        return model.finish()

    def decode(self, payload: bytes, shape: Shape, work: Work) -> np.ndarray:
        check_coder(False)
        height, width, channels = shape
        model = Mixing(channels, height * width, None, payload, work.continuation)
        image = model.start_stage(np.zeros((3, height, width), np.int16), None)
        model.code_raster(1)
        work.done(height * width * channels)
        return image[:channels].transpose(1, 2, 0).astype(np.uint8)

    def least_bytes(self, shape: Shape, schedule: Schedule) -> int:
        height, width, channels = shape
        return mixed_bytes(height * width * channels)


GRAPHICS_CODER = GraphicsCoder()
