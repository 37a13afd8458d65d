"""Small pictures of single detections and annotations, ready to be put into a page."""

import base64

import numpy as np
from pycocotools import mask as coco_mask

DETECTION_BGR = (26, 140, 255)
ANNOTATION_BGR = (255, 194, 0)
_CANVAS_BGR = (72, 66, 62)  # behind shapes whose picture is not at hand
_SIDE = 224  # pixels of the longer side
_SMALLEST = 40  # pixels of the image that are shown at least
_CONTEXT = 0.35  # share of the object's longer side that is shown around it
_QUALITY = 76


def region_around(boxes: list[np.ndarray], height: int, width: int) -> tuple[int, int, int, int]:
    """Part of an image that shows all boxes with some context.

    Args:
        boxes: One or more boxes, x, y, width, height in pixels.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        left, top, right, bottom in whole pixels, right and bottom exclusive, inside the image and
        never empty.
    """
    corners = np.array([[box[0], box[1], box[0] + box[2], box[1] + box[3]] for box in boxes])
    left, top = corners[:, :2].min(axis=0)
    right, bottom = corners[:, 2:].max(axis=0)
    margin = _CONTEXT * max(right - left, bottom - top, 1)
    across = max((right - left) / 2 + margin, _SMALLEST / 2)
    down = max((bottom - top) / 2 + margin, _SMALLEST / 2)
    x = np.clip([(left + right) / 2 - across, (left + right) / 2 + across], 0, width)
    y = np.clip([(top + bottom) / 2 - down, (top + bottom) / 2 + down], 0, height)
    first_x, first_y = min(int(x[0]), width - 1), min(int(y[0]), height - 1)
    return (
        first_x,
        first_y,
        max(int(np.ceil(x[1])), first_x + 1),
        max(int(np.ceil(y[1])), first_y + 1),
    )


def draw_crop(
    picture: np.ndarray | None,
    region: tuple[int, int, int, int],
    detection: dict | list | None,
    annotation: dict | list | None,
) -> str:
    """A part of an image with the outlines of a detection and an annotation.

    Args:
        picture: uint8 (H, W, 3) BGR, or None to draw the outlines on a plain ground.
        region: left, top, right, bottom in pixels of the image.
        detection: Run-length code or box (x, y, width, height in pixels), or None.
        annotation: In the same form.

    Returns:
        ``data:`` address of a JPEG file whose longer side has 224 pixels.
    """
    import cv2

    left, top, right, bottom = region
    zoom = _SIDE / max(right - left, bottom - top)
    size = (max(1, round((right - left) * zoom)), max(1, round((bottom - top) * zoom)))
    if picture is None:
        canvas = np.full((size[1], size[0], 3), _CANVAS_BGR, np.uint8)
    else:
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        canvas = cv2.resize(picture[top:bottom, left:right], size, interpolation=how)
    for shape, colour in ((annotation, ANNOTATION_BGR), (detection, DETECTION_BGR)):
        if isinstance(shape, dict):
            _draw_mask(canvas, shape, region, colour, is_filled=picture is None)
        elif shape is not None:
            _draw_box(canvas, shape, region, zoom, colour)
    _, content = cv2.imencode('.jpg', canvas, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return 'data:image/jpeg;base64,' + base64.b64encode(content.tobytes()).decode('ascii')


def _draw_mask(
    canvas: np.ndarray, code: dict, region: tuple, colour: tuple, *, is_filled: bool
) -> None:
    import cv2

    left, top, right, bottom = region
    part = coco_mask.decode(code)[top:bottom, left:right]
    if not part.any():
        return
    # Enlarged as grey values: the outline of a small object is smooth, not a staircase.
    soft = cv2.resize(part * np.uint8(255), canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mask = (soft > 127).astype(np.uint8)
    if is_filled:
        inside = mask.astype(bool)
        canvas[inside] = (canvas[inside] * 0.6 + np.array(colour) * 0.4).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.drawContours(canvas, contours, -1, colour, 2, cv2.LINE_AA)


def _draw_box(canvas: np.ndarray, box: list, region: tuple, zoom: float, colour: tuple) -> None:
    import cv2

    x, y, width, height = box
    corners = (np.array([[x, y], [x + width, y + height]]) - region[:2]) * zoom
    first, second = np.rint(corners).astype(int).tolist()
    cv2.rectangle(canvas, first, second, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.rectangle(canvas, first, second, colour, 2, cv2.LINE_AA)
