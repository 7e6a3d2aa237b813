"""How images are made: each is one frame, by whichever worker has a turn for it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastvideo.api.errors import GenerationFailed
from fastvideo.api.results import GenerationResult
from fastvideo.entrypoints.openai.job import Job
from fastvideo.entrypoints.openai.job_requests import JobRequests
from fastvideo.entrypoints.openai.results import Results, to_its_end
from fastvideo.entrypoints.streaming.pool_base import GpuPool
from fastvideo.entrypoints.streaming.prompt.gate import PromptGate
from fastvideo.entrypoints.streaming.worker import as_result

_FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
_QUALITY = 92
_MAX_SEED = 2**63 - 1


class ImageWork:
    """Makes images; ``fields`` of the job also say how many (``n``), and as which files (``extension``)."""

    def __init__(self, pool: GpuPool, requests: JobRequests, results: Results, gate: PromptGate) -> None:
        self._pool = pool
        self._requests = requests
        self._results = results
        self._gate = gate

    async def make(self, job: Job, save: Callable[[Job], Awaitable[None]]) -> None:
        """Make what the job asks for, or what is left of it; ``save`` stores its record after each image.

        Raises FastVideoError and OSError.
        """
        record = job.record
        count, extension = record.fields["n"], record.fields["extension"]
        loop = asyncio.get_running_loop()
        try:
            await self._pool.join_job(record.id)
            while len(record.outputs) < count:
                index = len(record.outputs)
                request = self._requests.image(record.fields)
                request.sampling.seed = (request.sampling.seed + index) % (_MAX_SEED + 1)
                if record.image is not None:
                    request.inputs.image_path = str(self._results.folder / record.image)
                self._gate.check_request(request)
                began_s = loop.time()
                result = as_result(await self._pool.run(record.id, request))
                record.generation_ms += (loop.time() - began_s) * 1000.0
                record.note_peak_memory(result.peak_memory_mb)
                path = self._results.path(record.id, f"-{index}.{extension}")
                data = await asyncio.to_thread(_coded, result, extension)
                await to_its_end(self._results.write, path, data)
                await to_its_end(self._results.finish, path)
                record.outputs.append(path.name)
                record.output_bytes += len(data)
                job.advance(len(record.outputs) / count)
                await save(job)
        finally:
            await self._pool.release(record.id)
        await to_its_end(self._results.remove_work, record.id, keep_state=False)


def _coded(result: GenerationResult, extension: str) -> bytes:
    frames = result.frames
    if frames is None or len(frames) == 0:
        raise GenerationFailed("the generator returned no frames")
    file = io.BytesIO()
    Image.fromarray(_picture(np.asarray(frames[0]))).save(file, _FORMATS[extension], quality=_QUALITY)
    return file.getvalue()


def _picture(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """A frame [H, W, 3], of bytes or of 0 to 1, as bytes."""
    if np.issubdtype(frame.dtype, np.floating):
        frame = np.rint(np.clip(frame, 0.0, 1.0) * 255.0)
    return frame.astype(np.uint8)
