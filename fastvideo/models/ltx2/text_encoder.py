"""Gemma 3 as a text encoder: the hidden states of all layers, for the connectors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fastvideo.api.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Prompts are padded to this length, unless the tokenizer says that it was made for a shorter one.
MAX_TEXT_TOKENS = 1024

# Where the language model lies in the layouts that Gemma 3 is published in; the bare model has no prefix.
_PREFIXES = {r"^language_model\.model\.": "", r"^model\.language_model\.": ""}


class GemmaTextEncoder:
    """The inner Gemma 3 model, without vision tower and LM head, and its tokenizer."""

    def __init__(self, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.bos_token_id is None:
            raise CheckpointError("the tokenizer has no BOS token, with which every prompt begins")
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        if padding is None:
            raise CheckpointError("the tokenizer has neither a padding nor an EOS token to pad prompts with")
        self.model = model
        self._tokenizer = tokenizer
        self._bos: int = tokenizer.bos_token_id
        self._padding: int = padding
        self.max_tokens = min(MAX_TEXT_TOKENS, int(tokenizer.model_max_length))

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        tokenizer_folder: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> GemmaTextEncoder:
        """Loads ``config.json``, ``*.safetensors`` and the tokenizer of a local Gemma 3 folder, of any size; the
        tokenizer from ``tokenizer_folder`` where that is another one.

        Nothing is fetched and no code of the folder is run. Raises CheckpointError for anything incomplete.
        """
        try:
            from transformers import AutoTokenizer, Gemma3TextModel
        except ImportError as error:
            raise CheckpointError(
                "text encoding needs the `transformers` package: pip install 'fastvideo[ltx2]'"
            ) from error
        _check_folder(folder)
        words = folder if tokenizer_folder is None else tokenizer_folder
        if not words.is_dir():
            raise CheckpointError(f"no tokenizer at {words}: expected the files of Gemma 3's there")
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(words), local_files_only=True, trust_remote_code=False)
            with without_progress_bar():
                model, report = Gemma3TextModel.from_pretrained(
                    str(folder),
                    local_files_only=True,
                    use_safetensors=True,
                    dtype=dtype,
                    key_mapping=_PREFIXES,
                    output_loading_info=True,
                )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"cannot load the Gemma 3 text encoder from {folder}: {error}") from error
        missing = sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
        if missing:
            raise CheckpointError(
                f"the Gemma 3 text encoder in {folder} lacks {len(missing)} tensors, or has them in another shape: "
                f"{', '.join(missing[:3])}"
            )
        model.to(device).eval().requires_grad_(False)
        return cls(model, tokenizer)

    @property
    def hidden_size(self) -> int:
        """Channels of a hidden state."""
        return int(self._config.hidden_size)

    @property
    def num_hidden_states(self) -> int:
        """Layers, and the embedding before them."""
        return int(self._config.num_hidden_layers) + 1

    @property
    def layers(self) -> nn.ModuleList:
        """The model's blocks."""
        return cast(nn.ModuleList, self.model.layers)

    @property
    def _config(self) -> Any:
        return self.model.config

    def tokens(self, prompts: Sequence[str], *, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Token ids and mask (1 = token), int64 [B, T] on the CPU: BOS, the stripped text, no EOS, padded on the left.

        T is ``length``, or ``max_tokens``; what is longer loses its end.
        """
        length = self.max_tokens if length is None else length
        ids = torch.full((len(prompts), length), self._padding, dtype=torch.int64)
        mask = torch.zeros((len(prompts), length), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            text: list[int] = self._tokenizer.encode(
                prompt.strip(), add_special_tokens=False, truncation=True, max_length=length - 1
            )
            ids[row, length - 1 - len(text) :] = torch.tensor([self._bos, *text])
            mask[row, length - 1 - len(text) :] = 1
        return ids, mask

    def encode(self, prompts: Sequence[str], *, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, D, L] of all L = layers + 1 in the weights' dtype, and the mask int64 [B, T]."""
        ids, mask = (tensor.to(self.device) for tensor in self.tokens(prompts, length=length))
        with torch.inference_mode():
            output: Any = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        return torch.stack(output.hidden_states, dim=-1), mask

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """A server's log is no terminal."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(
            f"no text encoder at {folder}: put the Gemma 3 folder there (config.json, *.safetensors and its tokenizer "
            "files), or name it in pipeline.components.text_encoder_weights"
        )
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder} has no readable config.json that names a model_type") from error
    if kind not in ("gemma3", "gemma3_text"):
        raise CheckpointError(
            f"LTX-2 reads its prompts with Gemma 3; {folder} holds a model of type {str(kind)[:40]!r}"
        )
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} holds no *.safetensors file with the text encoder's weights")
