"""Where the mixing coder's mixers and least squares start: python -m benchmarks.mixers WEIGHTS FOLDER, the last
step of making weights of photos.

Codes crops of the training images one after another, without forgetting what the mixers learned, and puts the
mean of what they knew after each, and of the sums of the least-squares problem, into a copy of the weights
file, beside the network. Prints the new id, which belongs into `ardm.exact.window`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from ardm.exact import window
from ardm.training.photos import list_images, load_crops, split_sources
from codec.coder.kernel import FORGET, STRIP_BITS, STRIPS
from codec.coder.mixing import (
    FITS,
    MIXER_ONE,
    NEIGHBOURS,
    OWN,
    SPREAD_OUT,
    STARTS,
    Mixing,
    feature_count,
    neighbours_of,
)

SIDE = 256  # of a crop
WARM_UP = 20  # crops before the mean begins
FIT_PIXELS = 150  # that the least-squares problem shall seem to have seen


def learn(
    weights: window.WindowWeights, crops: list[np.ndarray], neighbours: int = OWN
) -> dict[str, np.ndarray]:
    """int16, as `codec.coder.mixing.STARTS` names it, and float32, as FITS does. weights: without these; crops:
    uint8 (h, w, 3); neighbours: of the least-squares problem, an even number.
    """
    features = feature_count(neighbours, neighbours // 2)
    nothing = np.zeros((3, features, features), np.float32), np.zeros((3, features), np.float32)
    weights = replace(weights, tensors={**weights.tensors, **dict(zip(FITS, nothing, strict=True))})
    state: np.ndarray | None = None
    total = np.zeros(1)
    matrix, vector = np.zeros((3, features, features)), np.zeros((3, features))
    for i, crop in enumerate(crops):
        planar = np.ascontiguousarray(crop.transpose(2, 0, 1)).astype(np.int16)
        mixing = Mixing(3, crop.shape[0] * crop.shape[1], weights)
        if state is not None:
            mixing.learned.weights[:] = state
        mixing.start_stage(np.zeros_like(planar), planar)
        mixing.code_raster(4)
        state = mixing.learned.weights.copy()
        if i >= WARM_UP:
            total = total + state
        # pixels count less and less: so many do at all, with the gain of the last one
        counting = mixing.fitted.gain[:, :1] * (1 - FORGET ** -(SIDE**2)) / (1 - 1 / FORGET) * len(crops)
        matrix += np.triu(mixing.fitted.matrix[:, :features]) / counting[..., None]
        vector += mixing.fitted.vector[:, :features] / counting
    mean = total / (len(crops) - WARM_UP)
    # where in a picture a strip is says nothing of other pictures: all start as those of the crops do
    strips = mean[-3 * STRIPS :].reshape(3, STRIPS, -1)
    strips[:] = strips[:, : max(1, crops[0].shape[1] >> STRIP_BITS)].mean(1, keepdims=True)
    # nor what is learned of blocks, which these pictures do not tell
    taught = np.cumsum(SPREAD_OUT) - SPREAD_OUT
    mixers = np.round(mean[taught] * MIXER_ONE).astype(np.int16)
    fits = [(FIT_PIXELS * sums).astype(np.float32) for sums in (matrix, vector)]
    return dict(zip((*STARTS, *FITS), (mixers, *fits), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="the file that ardm-export wrote; it is replaced")
    parser.add_argument("folder", type=Path, help="the training folder")
    parser.add_argument("--held-out", type=int, default=100, help="the same number as in training")
    parser.add_argument("--crops", type=int, default=300)
    parser.add_argument(
        "--neighbours",
        type=int,
        choices=NEIGHBOURS.values(),
        help=f"of the least-squares problem; as the file has, else {OWN}",
    )
    arguments = parser.parse_args()
    weights = window.parse(arguments.weights.read_bytes())
    files = split_sources(list_images(arguments.folder), arguments.held_out)[0]
    rng = np.random.default_rng(1)
    images = load_crops(files[:: max(1, len(files) // arguments.crops)])
    chosen = images[rng.permutation(len(images))[: arguments.crops]]
    crops = []
    for image in chosen:
        y, x = rng.integers(0, len(image) - SIDE, 2)
        crops.append(image[y : y + SIDE, x : x + SIDE])
    neighbours = arguments.neighbours or neighbours_of(weights)
    plain = {name: values for name, values in weights.tensors.items() if name not in (*STARTS, *FITS)}
    learned = learn(replace(weights, tensors=plain), crops, neighbours)
    data = window.serialize(weights.config, plain | learned, weights.provenance)
    weights_id = window.parse(data).id
    new = arguments.weights.with_name(f"{arguments.weights.stem.split('-')[0]}-{weights_id}.safetensors")
    new.write_bytes(data)
    if new != arguments.weights:
        arguments.weights.unlink()
    print(json.dumps({"path": str(new), "id": weights_id, "bytes": len(data), "crops": len(crops)}))


if __name__ == "__main__":
    main()
