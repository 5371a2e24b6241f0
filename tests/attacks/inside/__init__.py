"""I: attacks from inside. Code of the attacker's runs in the real engine and the real window, as code in a dependency would; each
attempt is a module of its own. `taken` plants it, `planted` is what runs there, `observe` looks from outside, `verdicts` judges."""
