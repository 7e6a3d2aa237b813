"""Training in low precision by a twin."""

import torch

from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig
from scripts.train_embedded.flow import initialise
from scripts.train_embedded.low_precision import LowPrecision, plain_attention
from scripts.train_embedded.velocity_loss import velocity_losses
from tests.train_embedded.flow_samples import SECTION, batch_of, contexts


def test_a_twin_in_low_precision_follows_the_model_and_hands_its_gradients_over() -> None:
    model = LTX2Transformer(LTX2TransformerConfig.from_metadata(SECTION))
    initialise(model, 0)
    run = LowPrecision(model, torch.bfloat16)
    losses = velocity_losses(run, batch_of(0), contexts(), torch.Generator())
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    gradient = model.proj_out.weight.grad
    assert gradient is not None
    assert gradient.dtype is torch.float32
    assert float(gradient.abs().max()) > 0
    with torch.no_grad():
        model.proj_out.weight.sub_(gradient)
    run.follow()
    after = velocity_losses(run, batch_of(0), contexts(), torch.Generator())
    assert float(after["video"].detach()) != float(losses["video"].detach())


def test_plain_attention_is_the_fused_one() -> None:
    q, k, v = torch.randn(3, 2, 4, 32, 16)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    with plain_attention():
        plain = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(plain, fused)
