"""AlpacaEval 2: win rates and length-controlled win rates, keyed by instruction."""
