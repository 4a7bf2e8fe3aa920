"""Writes small images of every kind and the pixels that Pillow reads from them; run with Pillow
and NumPy. `pixels.json` holds, per file, the values channels first."""
import json
import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
H, W = 5, 7
rng = np.random.default_rng(7)
out = {}


def save(name, array, **options):
    path = HERE / name
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path, **options)
    read = Image.open(path)
    if read.mode == "P":
        read = read.convert("RGB")
    pixels = np.asarray(read)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    out[name] = {"shape": list(pixels.shape), "values": pixels.astype(int).ravel().tolist()}


grey = rng.integers(0, 256, (H, W), dtype=np.uint8)
colour = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
alpha = rng.integers(0, 255, (H, W, 4), dtype=np.uint8)
solid = np.dstack([colour, np.full((H, W), 255, np.uint8)])
# JPEG keeps smooth images; noise would measure the coder and not the decoder
y, x = np.mgrid[0:H, 0:W]
smooth = np.stack([20 * x + 10, 30 * y + 20, 10 * (x + y) + 60], axis=-1).astype(np.uint8)

save("grey.png", grey)
save("grey16.png", (grey.astype(np.uint16) << 8) + 3)
save("colour.png", colour)
save("alpha.png", alpha)
save("solid.png", solid)
save("smooth.jpg", smooth, quality=95, subsampling=0)
save("smooth_420.jpg", smooth, quality=90)
save("smooth_grey.jpg", (20 * x + 10).astype(np.uint8), quality=95)
save("progressive.jpg", smooth, quality=95, subsampling=0, progressive=True)
Image.fromarray(colour).quantize(16).save(HERE / "palette.png")
pixels = np.asarray(Image.open(HERE / "palette.png").convert("RGB")).transpose(2, 0, 1)
out["palette.png"] = {"shape": list(pixels.shape), "values": pixels.astype(int).ravel().tolist()}
exif = Image.Exif()
exif[0x0112] = 6
save("turned.jpg", smooth, quality=95, subsampling=0, exif=exif)
Image.fromarray(smooth).convert("CMYK").save(HERE / "cmyk.jpg")
(HERE / "pixels.json").write_text(json.dumps(out))
