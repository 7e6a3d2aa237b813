from __future__ import annotations

import torch

from fastvideo.models.ltx2.adaln import AdaLayerNormSingle, Modulation, Timesteps, timestep_channels


def test_each_token_gets_back_its_own_timestep() -> None:
    timesteps = torch.tensor([[0.5, 0.0, 0.25], [0.25, 0.25, 0.5]])
    distinct = Timesteps.per_token(timesteps)
    assert distinct.place is not None
    assert torch.equal(distinct.values[distinct.place], timesteps)
    assert distinct.values.tolist() == [0.0, 0.25, 0.5]


def test_a_clip_without_kept_tokens_has_as_many_distinct_timesteps_as_one_with_them() -> None:
    free = torch.full((1, 6), 0.725)
    kept = free.clone()
    kept[:, :2] = 0.0
    assert Timesteps.per_token(free).values.shape == Timesteps.per_token(kept).values.shape


def test_rows_looked_up_by_token_are_those_computed_for_every_token() -> None:
    torch.manual_seed(0)
    adaln, table = AdaLayerNormSingle(8, 3), torch.randn(3, 8)
    timesteps = torch.tensor([[0.5, 0.0, 0.25, 0.5], [0.1, 0.1, 0.0, 0.9]])
    by_token, _ = adaln(Timesteps.per_token(timesteps), 1000.0)
    for sample in range(2):
        each, _ = adaln(Timesteps.per_sample(timesteps[sample]), 1000.0)
        for found, computed in zip(by_token.select(table, 0, 3), each.select(table, 0, 3), strict=True):
            torch.testing.assert_close(found[sample], computed[:, 0])


def test_selected_rows_are_added_to_the_same_rows_of_the_table() -> None:
    rows, table = torch.arange(6.0).view(1, 6, 1), 10 * torch.arange(6.0).view(6, 1)
    selected = Modulation(rows, None).select(table, 2, 4)
    assert [row.shape for row in selected] == [(1, 1, 1)] * 2
    assert [row.item() for row in selected] == [22.0, 33.0]


def test_sinusoids_start_with_cosines_and_span_four_decades_of_wave_length() -> None:
    channels = timestep_channels(torch.tensor([0.0, 1000.0]))
    assert channels.shape == (2, 256)
    assert channels[0].tolist() == [1.0] * 128 + [0.0] * 128
    torch.testing.assert_close(channels[1, 128], torch.tensor(1000.0).sin())
    torch.testing.assert_close(channels[1, 128 + 64], torch.tensor(10.0).sin(), atol=1e-4, rtol=0)
