import pytest
import torch
import torch.nn.functional as F

from fastvideo.models.ltx2.linear import Linear, use_onednn

needs_onednn = pytest.mark.skipif(not Linear.onednn, reason="this PyTorch was built without oneDNN")


def a_layer(*, bias: bool = True) -> Linear:
    torch.manual_seed(5)
    return Linear(24, 40, bias=bias)


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(24,), (7, 24), (2, 5, 24)])
def test_onednn_gives_what_the_formula_says_with_and_without_gelu(shape: tuple[int, ...], bias: bool) -> None:
    layer = a_layer(bias=bias)
    x = torch.randn(shape)
    with torch.inference_mode():
        plain = F.linear(x, layer.weight, layer.bias)
        torch.testing.assert_close(layer(x), plain, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(layer.with_gelu(x), F.gelu(plain, approximate="tanh"), atol=1e-6, rtol=1e-5)
        every_other = torch.randn((*shape[:-1], 48))[..., ::2]
        torch.testing.assert_close(
            layer(every_other), F.linear(every_other, layer.weight, layer.bias), atol=1e-6, rtol=1e-5
        )


@needs_onednn
def test_the_compiler_takes_it_whole_and_sees_weights_that_changed() -> None:
    layer = a_layer()
    compiled = torch.compile(layer.with_gelu, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 24)
    with torch.inference_mode():
        before = compiled(x)
        torch.testing.assert_close(before, layer.with_gelu(x))
        layer.weight.mul_(2.0)
        torch.testing.assert_close(compiled(x), layer.with_gelu(x))
        assert not torch.equal(compiled(x), before)


def test_gradients_go_through_pytorch() -> None:
    layer = a_layer()
    x = torch.randn(3, 24, requires_grad=True)
    layer.with_gelu(layer(x)[:, :24]).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert float(x.grad.abs().sum()) > 0


@needs_onednn
def test_it_can_be_switched_off_and_on() -> None:
    network = torch.nn.Sequential(a_layer(), torch.nn.Linear(40, 2))
    use_onednn(network, False)
    assert network[0].onednn is False
    x = torch.randn(4, 24)
    with torch.inference_mode():
        assert torch.equal(network[0](x), F.linear(x, network[0].weight, network[0].bias))
    use_onednn(network, True)
    assert network[0].onednn is True


def test_other_types_stay_with_pytorch() -> None:
    layer = a_layer().to(torch.float64)
    x = torch.randn(3, 24, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
