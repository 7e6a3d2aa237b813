"""The first rank of a sequence-parallel model: it makes the segment, and has the others work on each forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from fastvideo.api.errors import GeneratorLost
from fastvideo.models.ltx2.lora import LoraAdapter
from fastvideo.models.ltx2.sequence_group import SequenceGroup
from fastvideo.models.ltx2.sequence_transformer import SequenceTransformer
from fastvideo.models.ltx2.transformer import LTX2Transformer, ModalityInput, Perturbation, RopeTables, TextInput
from fastvideo.pipelines.basic.ltx2.sequence.link import described
from fastvideo.pipelines.basic.ltx2.sequence.processes import SequenceProcesses


class SequenceLead:
    """Takes the transformer's place in the pipeline. Text, conditioning, guidance and decoding are this rank's alone;
    the others get tokens, positions and encoded prompts, and do what this one does with them.

    Each method raises GeneratorLost when another rank is gone, or when this one fails while the others wait for it:
    ranks that are out of step cannot go on.
    """

    def __init__(self, transformer: LTX2Transformer, group: SequenceGroup, processes: SequenceProcesses) -> None:
        self._share = SequenceTransformer(transformer, group)
        self.config = transformer.config
        self._group = group
        self._processes = processes
        # The prompts of this stage, in the order in which the others heard them.
        self._texts: list[TextInput] = []

    def rope_tables(self, video_positions: Tensor, audio_positions: Tensor) -> RopeTables:
        """Begins a stage: those of this rank's share; see ``LTX2Transformer``."""
        with self._together():
            self._texts.clear()
            self._tell("positions", [video_positions, audio_positions])
            return self._share.rope_tables(video_positions, audio_positions)

    def text_input(self, video_context: Tensor, audio_context: Tensor, *, keep_keys: bool = False) -> TextInput:
        """Hand an encoded prompt to every rank, for this stage; see ``LTX2Transformer``."""
        with self._together():
            self._tell("text", [video_context, audio_context], keep_keys=keep_keys)
            self._texts.append(self._share.text_input(video_context, audio_context, keep_keys=keep_keys))
            return self._texts[-1]

    def __call__(
        self,
        video: ModalityInput,
        audio: ModalityInput,
        *,
        rope: RopeTables,
        text: TextInput,
        perturbation: Perturbation = Perturbation(),  # noqa: B008  # immutable
    ) -> tuple[Tensor, Tensor]:
        """Velocities of all tokens; ``rope`` and ``text`` are of this stage. See ``LTX2Transformer``."""
        with self._together():
            self._tell(
                "velocity",
                [tensor for stream in (video, audio) for tensor in (stream.latents, stream.timesteps, stream.sigma)],
                text=next(index for index, known in enumerate(self._texts) if known is text),
                value_blocks=sorted(perturbation.value_blocks),
                isolated=perturbation.isolated,
            )
            return self._share(video, audio, rope=rope, text=text, perturbation=perturbation)

    def merge(self, adapters: Sequence[tuple[LoraAdapter, float]]) -> None:
        """Have the other ranks' weights be those of the loaded model with exactly these adapters."""
        with self._together():
            self._tell("merge", [], adapters=[[str(adapter.path), strength] for adapter, strength in adapters])

    def close(self) -> None:
        """End the other ranks. Twice is the same as once."""
        self._processes.close()

    def _tell(self, what: str, tensors: Sequence[Tensor], **values: Any) -> None:
        self._processes.tell({"do": what, "tensors": [described(tensor) for tensor in tensors], **values})
        for tensor in tensors:
            self._group.shared(tensor)

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | RuntimeError):
                raise GeneratorLost(
                    "a process of the sequence-parallel model failed or ended; the generator has to be built again"
                ) from error
            raise
