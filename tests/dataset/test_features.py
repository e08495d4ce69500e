"""Names and definitions of features as a caller writes them."""

from __future__ import annotations

import pytest

import model_factory as mf


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (mf.column("TX_AMOUNT"), "TX_AMOUNT"),
        (mf.column("TX_AMOUNT", name="amount"), "amount"),
        (mf.window("CARD", "30d").count(), "CARD_count_30d"),
        (mf.window("CARD", "30d").mean("TX_AMOUNT"), "CARD_mean_TX_AMOUNT_30d"),
        (mf.window("TERMINAL", "1d", delay="7d").rate("label"), "TERMINAL_rate_1d_delay_7d"),
        (mf.window("TERMINAL", "1d", delay="0s").time_since_last(), "TERMINAL_time_since_last_1d"),
        (mf.window("CARD", "12h").std("TX_AMOUNT", name="spread"), "spread"),
        (mf.weekend(), "weekend"),
        (mf.hours(0, 6), "hours_0_6"),
        (mf.hours(0, 6, name="night"), "night"),
    ],
)
def test_names(feature: mf.Feature, name: str) -> None:
    assert feature.name == name


def test_every_aggregate_says_whether_it_sums_up_a_column() -> None:
    window = mf.window("CARD", "7d")
    for feature in (window.sum("x"), window.mean("x"), window.min("x"), window.max("x"), window.std("x")):
        assert feature.definition["column"] == "x"
    for feature in (window.count(), window.rate(), window.time_since_last()):
        assert feature.definition["column"] is None


def test_a_rate_is_of_the_label() -> None:
    with pytest.raises(mf.errors.InputAdmissionError) as refused:
        mf.window("CARD", "7d").rate("TX_FRAUD")
    assert refused.value.code == "PARAMETER_INVALID"
