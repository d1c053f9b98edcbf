"""The effects of a camera on a scene: light, colour cast, haze, blur, resolution, noise and JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from fastreid_projects.data.demo.shot import Shot


def develop(scene: np.ndarray, shot: Shot) -> np.ndarray:
    """Turn a clean picture into the camera's, uint8 RGB (H, W, 3) both.

    The noise depends on the shot only, so that two people in the same shot get the same noise.
    """
    camera, rng = shot.settings, shot.rng(5)
    image = scene.astype(np.float32) / 255
    image = image * (np.array(camera.cast, np.float32) * camera.gain * shot.light)
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * camera.saturation
    image = image * (1 - camera.haze) + 0.62 * camera.haze
    image = np.clip(image, 0, 1) ** camera.gamma
    image = _blur(
        image, camera.blur * float(rng.uniform(0.7, 1.4)), camera.sharpness * float(rng.uniform(0.8, 1.1))
    )
    noise = rng.standard_normal((*image.shape[:2], 1), np.float32) + 0.5 * rng.standard_normal(
        image.shape, np.float32
    )
    image = np.clip(image * 255 + camera.noise * 0.8 * noise, 0, 255).astype(np.uint8)
    return decode_jpeg(encode_jpeg(image, shot.quality))


def _blur(image: np.ndarray, sigma: float, sharpness: float) -> np.ndarray:
    height, width = image.shape[:2]
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    if sharpness >= 0.95:
        return image
    small = cv2.resize(image, (int(width * sharpness), int(height * sharpness)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Return the JPEG bytes of an RGB image, uint8 (H, W, 3)."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def decode_jpeg(data: bytes) -> np.ndarray:
    """Return the RGB image, uint8 (H, W, 3), of JPEG bytes."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[..., ::-1].copy()
