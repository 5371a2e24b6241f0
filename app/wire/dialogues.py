"""The translating half of every dialect, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.wire import (
    anthropic_answer,
    anthropic_read,
    anthropic_write,
    gemini_answer,
    gemini_read,
    gemini_write,
    openai_chat_answer,
    openai_chat_read,
    openai_chat_write,
    openai_responses_answer,
    openai_responses_read,
    openai_responses_stream,
    openai_responses_write,
)
from app.wire.dialect import Name
from app.wire.dialogue import Dialogue

DIALOGUES: Final[Mapping[Name, Dialogue]] = {
    "openai": Dialogue(
        endpoints=frozenset({"chat/completions"}),
        whole="chat/completions",
        streaming="chat/completions",
        longest_name=64,
        custom="openai_own",
        read_call=openai_chat_read.read,
        write_call=openai_chat_write.write,
        read_answer=openai_chat_answer.read,
        write_answer=openai_chat_answer.write,
        reader=openai_chat_answer.Reader,
        writer=openai_chat_answer.Writer,
    ),
    "responses": Dialogue(
        endpoints=frozenset({"responses"}),
        whole="responses",
        streaming="responses",
        longest_name=64,
        custom="always",
        read_call=openai_responses_read.read,
        write_call=openai_responses_write.write,
        read_answer=openai_responses_answer.read,
        write_answer=openai_responses_answer.write,
        reader=openai_responses_stream.Reader,
        writer=openai_responses_stream.Writer,
    ),
    "anthropic": Dialogue(
        endpoints=frozenset({"messages"}),
        whole="messages",
        streaming="messages",
        longest_name=64,
        custom="",
        read_call=anthropic_read.read,
        write_call=anthropic_write.write,
        read_answer=anthropic_answer.read,
        write_answer=anthropic_answer.write,
        reader=anthropic_answer.Reader,
        writer=anthropic_answer.Writer,
    ),
    "gemini": Dialogue(
        endpoints=frozenset({"generateContent", "streamGenerateContent"}),
        whole="generateContent",
        streaming="streamGenerateContent",
        longest_name=64,
        custom="",
        read_call=gemini_read.read,
        write_call=gemini_write.write,
        read_answer=gemini_answer.read,
        write_answer=gemini_answer.write,
        reader=gemini_answer.Reader,
        writer=gemini_answer.Writer,
    ),
}
