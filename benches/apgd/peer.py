"""torchattacks' side of `benches/apgd/run.py`.

    python peer.py MODEL THREADS ROWS

Loads the network of `examples/clothing` as `benches/python/apgd_reference.py` does, then answers
each line `SEED` with the outcomes, wall and CPU seconds of one run of APGD over all rows.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
import apgd_reference as reference


def main():
    name, threads, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    images = reference.read_idx(reference.CLOTHING / "test-images.idx.gz")[:rows]
    labels = reference.read_idx(reference.CLOTHING / "test-labels.idx.gz")[:rows]
    images = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    labels = torch.from_numpy(labels.astype(np.int64))
    path = reference.CLOTHING / f"{name}.onnx"
    model = reference.load(path)
    reference.check_same_model(model, path, images)
    print(json.dumps({"torch": torch.__version__,
                      "torchattacks": metadata.version("torchattacks")}), flush=True)
    for line in sys.stdin:
        outcomes, wall, cpu = reference.attack(
            model, images, labels, reference.EPS[name], int(line))
        print(json.dumps({"outcomes": outcomes, "wall": wall, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
