"""Golden values of the image corruptions: writes corruptions.bin and corruptions.json.

Needs numpy, scipy, pillow, scikit-image, opencv-python-headless and imagecorruptions 1.1.2 (the
package of Michaelis et al. after Hendrycks and Dietterich 2019). The package is of 2020: what its
imports need today is put in their place below. Large images go through the package as it is; small
ones take the parameters of CIFAR-10-C (make_cifar_c.py of hendrycks/robustness), which the package
does not have, with the package's own helpers.

corruptions.bin: 8-bit RGB images, row-major, height x width x 3: the small and the large image,
then, for each of the two, every deterministic corruption at severity 1 and 5, in the order of
DETERMINISTIC. corruptions.json: mean absolute change, in steps of 255, per corruption and severity
(random ones: mean over DRAWS draws).

    python corruptions.py          # in this folder
"""

import io
import json
import sys
import types

import numpy as np
import scipy.ndimage
import skimage.filters
from PIL import Image

np.float_ = np.float64
for gone, names in {
    "scipy.ndimage.interpolation": {"map_coordinates": scipy.ndimage.map_coordinates},
    "pkg_resources": {"resource_filename": lambda package, path: path},
}.items():
    module = types.ModuleType(gone)
    module.__dict__.update(names)
    sys.modules[gone] = module

_gaussian = skimage.filters.gaussian


def gaussian(image, sigma=1, multichannel=False, **other):
    return _gaussian(image, sigma=sigma, channel_axis=-1 if multichannel else None, **other)


skimage.filters.gaussian = gaussian

import cv2  # noqa: E402
import imagecorruptions.corruptions as peer  # noqa: E402

DETERMINISTIC = ["defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate",
                 "jpeg_compression"]
RANDOM = ["gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow",
          "fog", "elastic_transform"]
SMALL, LARGE = 32, 56
DRAWS = 200


def picture(side):
    """A disk with waves on a slope, in three colours."""
    y, x = np.mgrid[0:side, 0:side].astype(float)
    planes = []
    for channel in range(3):
        disk = np.where(np.hypot(y - side / 2, x - side / 2.2) < side / 3.2, 0.55, 0.1)
        wave = 0.2 * np.sin(0.9 * x * 32 / side + 3 * channel)
        planes.append(np.clip(disk + wave + 0.25 * y / side, 0, 1))
    return np.round(np.stack(planes, axis=-1) * 255).astype(np.uint8)


def zoomed(image, factor):
    """Enlarged from the centre and cut back from the centre, as make_cifar_c.py does."""
    side = image.shape[0]
    kept = int(np.ceil(side / factor))
    top = (side - kept) // 2
    grown = scipy.ndimage.zoom(image[top:top + kept, top:top + kept], (factor, factor, 1), order=1)
    cut = (grown.shape[0] - side) // 2
    return grown[cut:cut + side, cut:cut + side]


def small(name, image, severity):
    """The parameters of CIFAR-10-C."""
    at = severity - 1
    x = image / 255.0
    side = image.shape[0]
    if name == "gaussian_noise":
        return np.clip(x + np.random.normal(size=x.shape, scale=[.04, .06, .08, .09, .10][at]),
                       0, 1) * 255
    if name == "shot_noise":
        c = [500, 250, 100, 75, 50][at]
        return np.clip(np.random.poisson(x * c) / c, 0, 1) * 255
    if name == "impulse_noise":
        c = [.01, .02, .03, .05, .07][at]
        return peer.sk.util.random_noise(x, mode="s&p", amount=c) * 255
    if name == "defocus_blur":
        radius, alias = [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)][at]
        kernel = peer.disk(radius, alias)
        return np.clip(np.stack([cv2.filter2D(x[..., d], -1, kernel) for d in range(3)], -1),
                       0, 1) * 255
    if name == "glass_blur":
        sigma, reach, rounds = [(.05, 1, 1), (.25, 1, 1), (.4, 1, 1), (.25, 1, 2), (.4, 1, 2)][at]
        glass = np.uint8(gaussian(x, sigma, True) * 255)
        for _ in range(rounds):
            for h in range(side - reach, reach, -1):
                for w in range(side - reach, reach, -1):
                    dx, dy = np.random.randint(-reach, reach, size=2)
                    if h < side and w < side:
                        here = glass[h, w].copy()
                        glass[h, w] = glass[h + dy, w + dx]
                        glass[h + dy, w + dx] = here
        return np.clip(gaussian(glass / 255.0, sigma, True), 0, 1) * 255
    if name == "motion_blur":
        radius, sigma = [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)][at]
        return np.clip(peer._motion_blur(image.astype(float), radius, sigma,
                                         np.random.uniform(-45, 45)), 0, 255)
    if name == "zoom_blur":
        ends = [1.06, 1.11, 1.16, 1.21, 1.26]
        factors = np.arange(1, ends[at], 0.01)
        return np.clip((x + sum(zoomed(x, f) for f in factors)) / (len(factors) + 1), 0, 1) * 255
    if name == "fog":
        c, decay = [(.2, 3), (.5, 3), (.75, 2.5), (1, 2), (1.5, 1.75)][at]
        most = x.max()
        fog = x + c * peer.plasma_fractal(side, decay)[:side, :side, None]
        return np.clip(fog * most / (most + c), 0, 1) * 255
    if name == "snow":
        c = [(.1, .2, 1, .6, 8, 3, .95), (.1, .2, 1, .5, 10, 4, .9), (.15, .3, 1.75, .55, 10, 4, .9),
             (.25, .3, 2.25, .6, 12, 6, .85), (.3, .3, 1.25, .65, 14, 12, .8)][at]
        flakes = np.random.normal(size=(side, side, 1), loc=c[0], scale=c[1])
        flakes = zoomed(flakes, c[2])[..., 0]
        flakes[flakes < c[3]] = 0
        flakes = peer._motion_blur(np.clip(flakes, 0, 1), c[4], c[5], np.random.uniform(-135, -45))
        flakes = (np.round(flakes * 255) / 255)[..., None]
        grey = (x @ [0.299, 0.587, 0.114])[..., None]
        white = c[6] * x + (1 - c[6]) * np.maximum(x, grey * 1.5 + 0.5)
        return np.clip(white + flakes + np.rot90(flakes, 2), 0, 1) * 255
    if name == "brightness":
        hsv = peer.sk.color.rgb2hsv(x)
        hsv[..., 2] = np.clip(hsv[..., 2] + [.05, .1, .15, .2, .3][at], 0, 1)
        return np.clip(peer.sk.color.hsv2rgb(hsv), 0, 1) * 255
    if name == "contrast":
        mean = x.mean(axis=(0, 1), keepdims=True)
        return np.clip((x - mean) * [.75, .5, .4, .3, .15][at] + mean, 0, 1) * 255
    if name == "pixelate":
        few = int(side * [.95, .9, .85, .75, .65][at])
        shrunk = Image.fromarray(image).resize((few, few), Image.BOX)
        return np.asarray(shrunk.resize((side, side), Image.BOX))
    if name == "jpeg_compression":
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=[80, 65, 58, 50, 40][at])
        return np.asarray(Image.open(file))
    if name == "elastic_transform":
        alpha, sigma, corner = [(0, 0, .08), (.05, .2, .07), (.08, .06, .06), (.1, .04, .05),
                                (.1, .03, .03)][at]
        centre, square = side // 2, side // 3
        before = np.float32([[centre + square, centre + square], [centre + square, centre - square],
                             [centre - square, centre - square]])
        after = before + np.random.uniform(-corner * side, corner * side, (3, 2)).astype(np.float32)
        bent = cv2.warpAffine(x.astype(np.float32), cv2.getAffineTransform(before, after),
                              (side, side), borderMode=cv2.BORDER_REFLECT_101)
        shift = [_gaussian(np.random.uniform(-1, 1, (side, side)), sigma * side, mode="reflect",
                           truncate=3) * alpha * side for _ in range(2)]
        rows, columns = np.mgrid[0:side, 0:side]
        out = [scipy.ndimage.map_coordinates(bent[..., d], (rows + shift[1], columns + shift[0]),
                                             order=1, mode="reflect") for d in range(3)]
        return np.clip(np.stack(out, -1), 0, 1) * 255
    raise ValueError(name)


def large(name, image, severity):
    """The package as it is."""
    return np.asarray(getattr(peer, name)(Image.fromarray(image), severity), dtype=float)


def main():
    images = {"small": (picture(SMALL), small), "large": (picture(LARGE), large)}
    with open("corruptions.bin", "wb") as out:
        for image, _ in images.values():
            out.write(image.tobytes())
        for image, corrupt in images.values():
            for name in DETERMINISTIC:
                for severity in (1, 5):
                    made = np.clip(np.round(corrupt(name, image, severity)), 0, 255)
                    out.write(made.astype(np.uint8).tobytes())
    table = {}
    for size, (image, corrupt) in images.items():
        table[size] = {}
        for name in DETERMINISTIC + RANDOM:
            draws = DRAWS if name in RANDOM else 1
            by = []
            for severity in range(1, 6):
                np.random.seed(severity)
                changes = [np.abs(np.round(np.asarray(corrupt(name, image, severity), float))
                                  - image).mean()
                           for _ in range(draws)]
                by.append(round(float(np.mean(changes)), 4))
            table[size][name] = by
    said = {"small": SMALL, "large": LARGE, "deterministic": DETERMINISTIC, "draws": DRAWS,
            "mean_absolute_change": table}
    with open("corruptions.json", "w") as out:
        json.dump(said, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
