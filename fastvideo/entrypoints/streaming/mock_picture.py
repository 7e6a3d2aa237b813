"""The fake generator's picture: a glowing shape over a soft, slowly drifting backdrop, with captions drawn in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fastvideo.entrypoints.streaming.mock_motion import Path
from fastvideo.entrypoints.streaming.mock_scene import Rgb, Scene, Shape
from fastvideo.media.strip import MIN_WIDTH_PX, STRIP_HEIGHT_PX, draw_strip

FADE_FRAMES = 14
TRAIL_FRAMES = 12
MAX_CAPTION_CHARS = 90
_COARSE_PX = 8
_GHOSTS = ((4, 0.30), (8, 0.20), (TRAIL_FRAMES, 0.12))

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """What a segment fades in from: the scene before it."""

    shape: Shape
    shape_rgb: Rgb
    backdrop_rgb: Rgb
    spread: float

    @classmethod
    def of(cls, scene: Scene) -> Look:
        """The look of a scene."""
        return cls(scene.shape, scene.shape_rgb, scene.backdrop_rgb, scene.spread)


class SegmentPainter:
    """Paints the frames of one segment, uint8 [n, height, width, 3], RGB; any size from 16x16 pixels.

    Segment and frame number also stand in a machine-readable strip (`media/strip.py`) where the picture is wide enough.
    `trail`: centres of the shape in the frames just before, in parts of the frame, oldest first.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        before: Look | None,
        path: Path,
        trail: Sequence[tuple[float, float]],
        width_px: int,
        height_px: int,
        fps: float,
        start_s: float,
        segment_index: int,
        caption: str,
    ) -> None:
        self._width, self._height = width_px, height_px
        self._fps, self._start_s, self._segment_index = fps, start_s, segment_index
        self._turn = path.turn
        # Centres in pixels: those of the frames before the segment, then its own.
        self._shown_before = len(trail)
        self._x_px = np.concatenate([[x for x, _ in trail], path.x]) * width_px
        self._y_px = np.concatenate([[y for _, y in trail], path.y]) * height_px
        self._new = Look.of(scene)
        self._old = before if before is not None else self._new
        self._radius_px = 0.17 * min(width_px, height_px)
        self._margin_px = max(2, min(width_px, height_px) // 12)
        self._backdrop = self._paint_backdrop(self._new)
        self._old_backdrop = self._backdrop if self._old == self._new else self._paint_backdrop(self._old)
        self._glow = _gaussian(round(2.7 * self._radius_px))
        self._ghost = _gaussian(round(1.3 * self._radius_px))
        self._clock = _Clock(max(9, height_px // 17))
        self._bar_keep, self._bar_add = self._paint_bar(f"segment {segment_index}", caption)

    def frames(self, first: int, last: int) -> Bytes:
        """Frames `first` to `last`, exclusive, of the segment."""
        block = np.empty((last - first, self._height, self._width, 3), np.uint8)
        for index in range(first, last):
            self._paint(block[index - first], index)
        if self._width >= MIN_WIDTH_PX and self._height > STRIP_HEIGHT_PX:
            rows = block[:, :STRIP_HEIGHT_PX]
            rows[:] = draw_strip(rows, self._segment_index, first)
        return block

    def _paint(self, frame: Bytes, index: int) -> None:
        clock_s = self._start_s + index / self._fps
        fade = min(1.0, (index + 1) / FADE_FRAMES)
        top = round(self._margin_px * (1 + 0.95 * math.sin(0.31 * clock_s)))
        left = round(self._margin_px * (1 + 0.95 * math.sin(0.23 * clock_s + 1)))
        window = (slice(top, top + self._height), slice(left, left + self._width))
        if fade < 1.0 and self._old_backdrop is not self._backdrop:
            weight = round(256 * fade)
            mixed = self._old_backdrop[window].astype(np.uint16) * np.uint16(256 - weight)
            mixed += self._backdrop[window] * np.uint16(weight)
            np.right_shift(mixed, 8, out=frame, casting="unsafe")
        else:
            frame[:] = self._backdrop[window]

        rgb = _mix(self._old.shape_rgb, self._new.shape_rgb, fade)
        at = self._shown_before + index
        x, y = float(self._x_px[at]), float(self._y_px[at])
        for frames_ago, strength in _GHOSTS:
            if at >= frames_ago:
                ghost_x, ghost_y = float(self._x_px[at - frames_ago]), float(self._y_px[at - frames_ago])
                # A wrap from edge to edge leaves no trail across the frame.
                if math.hypot(ghost_x - x, ghost_y - y) < 3 * self._radius_px:
                    _add_light(frame, self._ghost, ghost_x, ghost_y, _scale(rgb, strength))
        # The glow swells on each full second, together with the pluck in the sound.
        beat = math.exp(-5.0 * (clock_s % 1.0))
        _add_light(frame, self._glow, x, y, _scale(rgb, 0.34 + 0.3 * beat))
        self._paint_shape(frame, x, y, float(self._turn[index]), rgb, fade)

        bar = frame[self._height - len(self._bar_keep) :]
        shaded = bar * self._bar_keep
        shaded >>= 8
        shaded += self._bar_add
        bar[:] = shaded
        self._clock.draw(frame, round(clock_s * self._fps), self._fps)

    def _paint_shape(self, frame: Bytes, x: float, y: float, turn: float, rgb: Rgb, fade: float) -> None:
        radius = self._radius_px
        left, right = max(0, math.floor(x - radius - 2)), min(self._width, math.ceil(x + radius + 2))
        top, bottom = max(0, math.floor(y - radius - 2)), min(self._height, math.ceil(y + radius + 2))
        if left >= right or top >= bottom:
            return
        u = ((np.arange(left, right, dtype=np.float32) + 0.5 - x) / radius)[None, :]
        v = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - y) / radius)[:, None]
        cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        turned_u, turned_v = u * cos + v * sin, v * cos - u * sin
        distance = _distance(self._new.shape, turned_u, turned_v)
        if fade < 1.0 and self._old.shape != self._new.shape:
            # Halfway between two distance fields lies a shape halfway between the two.
            distance = _distance(self._old.shape, turned_u, turned_v) * (1 - fade) + distance * fade
        cover = np.clip(0.5 - distance * radius, 0.0, 1.0)
        # Light from the upper left, stripes that show the rotation, a highlight.
        shade = 0.84 - 0.22 * (0.6 * u + 0.8 * v) + 0.05 * np.cos(9 * turned_u)
        shine = np.exp(-9 * ((u + 0.33) ** 2 + (v + 0.38) ** 2)) * 105
        region = frame[top:bottom, left:right]
        for channel in range(3):
            ground = region[..., channel].astype(np.float32)
            paint = np.minimum(shade * rgb[channel] + shine, 255.0)
            region[..., channel] = ground + (paint - ground) * cover

    def _paint_backdrop(self, look: Look) -> Bytes:
        # Smooth everywhere, so it is painted small and enlarged.
        height, width = self._height + 2 * self._margin_px, self._width + 2 * self._margin_px
        rows, columns = max(4, height // _COARSE_PX), max(4, width // _COARSE_PX)
        v = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        u = np.linspace(0, 1, columns, dtype=np.float32)[None, :]
        ground = np.asarray(look.backdrop_rgb, np.float32)
        tint = np.asarray(look.shape_rgb, np.float32)
        light = 1.15 - 0.85 * v + 0.1 * np.sin(3 * u + 6 * look.spread)
        picture = ground * light[..., None]
        warm = np.exp(-((u - 0.2 - 0.6 * look.spread) ** 2 * 4 + (v - 0.95) ** 2 * 9))
        picture += (tint - picture) * (0.35 * warm)[..., None]
        golden = 0.61803398875
        for disc in range(7):
            centre_u = (look.spread + disc * golden) % 1.0
            centre_v = (look.spread * 3 + disc * golden * golden) % 1.0
            size = 0.05 + 0.012 * disc
            away = np.hypot((u - centre_u) * width / height, v - centre_v) / size
            picture += (26.0 / (1 + np.exp(np.minimum(9 * (away - 1), 60))))[..., None]
        small = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGB")
        return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).copy()

    def _paint_bar(self, title: str, caption: str) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """What the captions keep of the picture (0..256) and add to it: uint16 [rows, width, 3] each."""
        title_px = max(9, self._height // 17)
        caption_px = max(8, self._height // 24)
        rows = min(self._height, round(1.5 * title_px + 1.6 * caption_px))
        mask = Image.new("L", (self._width, rows))
        draw = ImageDraw.Draw(mask)
        inset = max(3, self._width // 40)
        draw.text((inset, round(0.1 * title_px)), title, fill=235, font=ImageFont.load_default(title_px))
        font = ImageFont.load_default(caption_px)
        room_px = self._width - 2 * inset
        draw.text((inset, round(1.4 * title_px)), _fit(caption, font, room_px), fill=190, font=font)
        text = np.asarray(mask, np.float32)[..., None]
        ramp = np.linspace(1.0, 0.45, rows, dtype=np.float32)[:, None, None]
        shape = (rows, self._width, 3)
        keep = np.broadcast_to(256 * ramp * (1 - text / 255), shape).astype(np.uint16)
        return keep, np.broadcast_to(text, shape).astype(np.uint16)


class _Clock:
    """Draws hours:minutes:seconds:frames at the lower right, from digits rendered once."""

    def __init__(self, size_px: int) -> None:
        font = ImageFont.load_default(size_px)
        boxes = [font.getbbox(char) for char in "0123456789:"]
        self._cell_px = math.ceil(max(box[2] - box[0] for box in boxes)) + 1
        self._rows_px = math.ceil(1.4 * size_px)
        self._size_px = size_px
        self._glyphs: dict[str, npt.NDArray[np.uint16]] = {}
        for char in "0123456789:":
            cell = Image.new("L", (self._cell_px, self._rows_px))
            ImageDraw.Draw(cell).text((self._cell_px / 2, 0), char, fill=235, font=font, anchor="ma")
            self._glyphs[char] = np.asarray(cell).astype(np.uint16)

    def draw(self, frame: Bytes, frame_number: int, fps: float) -> None:
        whole_fps = max(1, round(fps))
        seconds, remainder = divmod(frame_number, whole_fps)
        text = f"{seconds // 3600 % 100:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{remainder:02}"
        mask = np.concatenate([self._glyphs[char] for char in text], axis=1)[..., None]
        height, width = frame.shape[:2]
        top = height - round(1.5 * self._size_px + 1.6 * max(8, height // 24)) + round(0.1 * self._size_px)
        left = width - mask.shape[1] - max(3, width // 40)
        if top < 0 or left < width // 3:
            return  # too small a picture for both captions; the segment number stays
        region = frame[top : top + len(mask), left : left + mask.shape[1]]
        mask = mask[: len(region)]
        region[:] = (region * (256 - mask) + 245 * mask) >> 8


def _distance(shape: Shape, u: Floats, v: Floats) -> Floats:
    """Signed distance to the outline of a shape of radius 1, roughly; negative inside."""
    if shape == "square":
        away_u, away_v = np.abs(u) - 0.6, np.abs(v) - 0.6
        return np.hypot(np.maximum(away_u, 0), np.maximum(away_v, 0)) + np.minimum(np.maximum(away_u, away_v), 0) - 0.13
    if shape == "diamond":
        return (np.abs(u) * 1.25 + np.abs(v) * 0.95 - 0.9) * np.float32(0.64)
    radius = np.hypot(u, v)
    if shape == "ball":
        return radius - np.float32(0.92)
    # cos(n * angle) without an arctangent: the real part of the n-th power of a unit number.
    unit = (u + 1j * v) / np.maximum(radius, 1e-3)
    square = unit * unit
    if shape == "star":
        waves = (square * square * unit * 1j).real
        return (radius - 0.70 - 0.24 * waves) * np.float32(0.6)
    waves = (square * square * square).real
    return (radius - 0.78 - 0.16 * waves) * np.float32(0.7)


def _gaussian(radius_px: int) -> npt.NDArray[np.uint16]:
    radius_px = max(2, radius_px)
    steps = np.linspace(-1, 1, 2 * radius_px + 1, dtype=np.float32)
    away = steps[:, None] ** 2 + steps[None, :] ** 2
    # Down to nothing at the sprite's edge, so that no square outline shows.
    light: Floats = np.exp(-4.5 * away) * np.clip(1.2 * (1 - away), 0, 1)
    return np.round(255 * light).astype(np.uint16)


def _add_light(frame: Bytes, sprite: npt.NDArray[np.uint16], x: float, y: float, rgb: Rgb) -> None:
    height, width = frame.shape[:2]
    left, top = round(x) - sprite.shape[1] // 2, round(y) - sprite.shape[0] // 2
    right, bottom = min(width, left + sprite.shape[1]), min(height, top + sprite.shape[0])
    inside_left, inside_top = max(0, left), max(0, top)
    if inside_left >= right or inside_top >= bottom:
        return
    part = sprite[inside_top - top : bottom - top, inside_left - left : right - left]
    region = frame[inside_top:bottom, inside_left:right]
    light = (part[..., None] * np.asarray(rgb, np.uint16) >> 8).astype(np.uint8)
    # A saturating add in place: first make room, then add.
    np.minimum(region, 255 - light, out=region)
    region += light


def _mix(old: Rgb, new: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(old, new, strict=True))
    return red, green, blue


def _scale(rgb: Rgb, factor: float) -> Rgb:
    red, green, blue = (min(255, round(channel * factor)) for channel in rgb)
    return red, green, blue


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room_px: int) -> str:
    line = " ".join(text.split())[:MAX_CAPTION_CHARS]
    line = "".join(char for char in line if char.isprintable())
    if font.getlength(line) <= room_px:
        return line
    while line and font.getlength(line + "...") > room_px:
        line = line[:-1]
    return line + "..." if line else ""
