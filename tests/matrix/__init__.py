"""The official packages as clients, asked the same things and heard in the same words, whatever they speak.

What lives here: what is asked and heard (`exchange`), one file per package (`openai_sdk`, `anthropic_sdk`, `google_sdk`, `langchain`),
and the table of what works (`table`). What must not: a change to a package; each is used as its documentation says.
"""

import pytest

pytest.register_assert_rewrite("tests.matrix.features")
