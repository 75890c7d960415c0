"""How many items the published test sets have."""

ITEMS = {"gsm8k": 1319, "bbh": 6511, "mmlu": 14_042, "humaneval": 164, "alpaca_eval": 805}
