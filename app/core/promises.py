"""What Gatehouse promises, as one table: how a promise would be broken, what is claimed, how a person checks it, and which tests prove it.

SECURITY.md's list, README's table ("Check our claims") and the page on data privacy are made of it (`packaging/make_promises.py`,
`engine.privacy`), and a test checks that every test named here exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """broken: how it would be, as SECURITY.md lists it, or "" where nothing can break it. claim, trial: README's table, in Markdown.

    title, check: of one that is measured while the gateway runs; the command's {data_dir}, {database} and {port} are filled in by whoever
    shows it. tests: `file::function` below `tests/`.
    """

    id: str
    broken: str
    claim: str
    trial: str
    tests: tuple[str, ...]
    title: str = ""
    check: str = ""


PROMISES: Final = (
    Promise(
        id="checks",
        broken="",
        claim="all checks pass, for an ordinary user and for root",
        trial="`python3 packaging/dev.py test` (long campaigns too: `test --slow`)",
        tests=(
            "packaging/test_commands.py::test_the_first_failing_check_stops_the_command_with_its_name_and_output",
            "packaging/test_ordinary.py::test_everything_runs_as_an_ordinary_user_and_what_needs_root_as_root",
        ),
    ),
    Promise(
        id="keys",
        broken="A provider key, the master key, a passphrase or a client key is found on disk unencrypted, in a log, an error, an export, "
        "on a command line, in an environment, or is sent to a host other than the one it was stored for.",
        claim="keys are in the keyring, not in files",
        trial='open your system\'s keyring app and look for "Gatehouse"; search the data folder for a key: `grep -r sk- DIR`',
        tests=(
            "journeys/test_add_a_key.py::test_a_key_lives_in_the_keyring_and_nowhere_else",
            "journeys/test_first_request.py::test_no_key_is_in_any_file_or_argument",
            "journeys/test_a_key_stays_with_its_host.py::test_a_redirect_to_another_provider_brings_it_neither_the_request_nor_the_key",
            "journeys/test_a_key_stays_with_its_host.py::test_no_header_of_a_client_chooses_a_host_or_another_accounts_key",
            "journeys/test_a_key_stays_with_its_host.py::test_an_account_that_moves_to_another_host_leaves_its_key_behind",
            "keeper/test_keeper.py::test_no_secret_is_in_an_argument_or_an_environment",
        ),
    ),
    Promise(
        id="stored",
        broken="Prompts or replies are found on disk, but for the answers of programs for which you allowed it, which are encrypted.",
        claim="prompts and answers are not stored, but for programs for which you allowed it",
        trial="send an unusual word, then `grep -r WORD DIR`; `gatehouse privacy` measures what the database holds",
        tests=(
            "engine/test_privacy.py::test_a_column_that_might_hold_a_prompt_breaks_the_promise",
            "engine/test_privacy.py::test_an_answer_kept_for_a_client_that_is_not_allowed_breaks_the_promise",
            "journeys/test_kept_responses.py::test_without_permission_nothing_is_kept_and_it_is_said",
            "journeys/test_kept_responses.py::test_taking_the_permission_back_deletes_what_was_kept",
        ),
        title="What is stored",
        check="gatehouse client list; gatehouse activity --json; gatehouse audit list --json",
    ),
    Promise(
        id="telemetry",
        broken="A connection is made to a host that no account declares, or to a declared name whose address is not allowed (private, "
        "link-local, metadata and so on for accounts that are not marked local).",
        claim="only declared hosts are reached",
        trial="`tests/keeper/test_broker.py`, `tests/egress/test_guard.py`; or `sudo ss -tnp` while it works: only the keeper dials, only "
        "hosts that `gatehouse provider list` names",
        tests=(
            "keeper/test_broker.py::test_what_nobody_declared_is_refused_and_written_down",
            "keeper/test_broker.py::test_addresses_that_no_provider_has_are_refused_in_every_spelling",
            "egress/test_guard.py::test_an_account_on_the_internet_goes_there_and_nowhere_else",
            "engine/test_privacy.py::test_a_socket_that_nothing_explains_breaks_the_promise",
        ),
        title="No telemetry",
        check="sudo ss -tnp; gatehouse provider list; gatehouse network status",
    ),
    Promise(
        id="lock",
        broken='Where the Network page says "Enforced by the kernel": anything in the engine or the window makes an internet socket, aims '
        "one that it has been given elsewhere, starts a program, looks up a name by itself, signals another process, or changes a file "
        "outside of its own folder; or something that it left behind runs.",
        claim="nothing else leaves, and the engine is locked",
        trial="`gatehouse network selftest`; `grep Seccomp /proc/PID/status` says 2, with the engine's PID from the Network page; or the "
        "whole program in a network of its own: `unshare -Urnm .venv/bin/python -m tests.packet.inside result.json`",
        tests=(
            "journeys/test_nothing_else_leaves.py::test_no_packet_goes_to_anything_undeclared_whatever_is_planted",
            "journeys/test_nothing_else_leaves.py::test_without_locks_the_same_leaks_are_seen_so_the_judge_is_not_blind",
            "system/test_sandbox.py::test_nothing_leaves_a_locked_process_by_any_way_that_was_known_to_leak",
            "system/test_locked_files.py::test_a_locked_process_changes_nothing_but_its_own_folder",
            "system/test_isolated.py::test_nothing_that_lies_beside_our_packages_runs",
            "system/test_seccomp.py::test_a_bystander_is_left_alone_also_where_landlock_knows_no_signals",
            "journeys/test_nothing_else_leaves.py::test_what_a_taken_engine_leaves_behind_sends_no_packet_either",
            "journeys/test_network_verbs.py::test_the_self_test_tries_every_way_from_every_process_and_leaves_one_line_in_the_audit_log",
        ),
    ),
    Promise(
        id="grants",
        broken="Code in the engine adds a destination, changes an address, has a name looked up that no person wanted, or leaves a weaker "
        "setting behind that the next start uses.",
        claim="nothing new without your word",
        trial="`python3 -m tests.attacks --only I`; or ask at `control.sock` for a provider, as any program of yours can: it waits, and "
        "`gatehouse confirm` lists it",
        tests=(
            "journeys/test_a_taken_engine_asks.py::test_a_host_that_nobody_asked_for_is_held_before_its_first_look_up_and_shown",
            "journeys/test_a_taken_engine_asks.py::test_nothing_that_the_engine_says_explains_itself",
            "journeys/test_confirm.py::test_past_the_persons_programs_it_is_refused_and_waits",
            "journeys/test_confirm.py::test_a_setting_that_nobody_asked_for_is_not_used_until_a_person_confirms_it",
        ),
    ),
    Promise(
        id="exports",
        broken="An export is written through a link that somebody else made, replaces a file, or is put into a hidden folder or one of "
        "Gatehouse's own by the window; or `verify.py` of an export made here is not the program's own.",
        claim="what you take out is whole, new, and nothing else is written",
        trial="export twice to one name; export into a hidden folder; `kill -9` the process named `writer` meanwhile",
        tests=(
            "system/test_sink.py::test_what_has_the_name_stays_as_it_is",
            "system/test_targets.py::test_a_place_that_is_not_a_persons_documents_is_refused",
            "keeper/test_writers.py::test_whatever_ends_it_half_way_nothing_is_kept",
            "keeper/test_writers.py::test_the_program_that_a_person_will_run_cannot_be_sent",
            "journeys/test_exports.py::test_every_export_of_the_window_is_whole_and_somebody_elses_work",
        ),
    ),
    Promise(
        id="measured",
        broken='The page says a level, an agreement of the books or "no gaps" that was not measured.',
        claim="what the Network page says was measured",
        trial="`gatehouse network status` beside `sudo ss -tnp` and `/proc/PID/status`",
        tests=(
            "keeper/test_watch.py::test_a_lock_that_is_claimed_and_that_the_system_does_not_show_is_not_believed",
            "keeper/test_watch.py::test_a_look_that_came_too_late_is_a_gap_and_one_in_time_is_none",
            "egress/test_witness.py::test_only_books_that_agree_pass",
        ),
    ),
    Promise(
        id="addresses",
        broken="Another user of the machine, a web page in the person's browser, or a host of the network gets an answer that needs a key, "
        "reaches the control channel, or reads the data folder.",
        claim="only this machine reaches it",
        trial="`ss -tln | grep 4141` names 127.0.0.1 and [::1] alone",
        tests=(
            "engine/test_privacy.py::test_an_address_that_other_machines_reach_breaks_the_promise",
            "engine/test_server.py::test_a_peer_that_is_not_admitted_gets_403",
            "system/test_strangers.py::test_no_verb_says_anything_to_a_listener_that_another_user_planted",
            "journeys/test_squatted.py::test_another_user_is_turned_away_also_when_the_folders_are_open",
            "system/test_channel.py::test_the_kernel_names_the_user_at_the_other_end",
        ),
        title="Allowed addresses",
        check="ss -tln | grep {port}",
    ),
    Promise(
        id="cookies",
        broken="The gateway sets a cookie, or answers a request that a web page makes.",
        claim="no cookie, nothing for web pages",
        trial="`curl -si http://127.0.0.1:4141/health/liveliness` has no cookie; with `-H 'Origin: https://example.com'` it is a 403",
        tests=(
            "engine/test_privacy.py::test_a_cookie_that_a_reply_would_carry_breaks_the_promise",
            "engine/test_privacy.py::test_a_web_page_that_would_be_answered_breaks_the_promise",
        ),
        title="Cookies: none",
        check="curl -si http://127.0.0.1:{port}/health/liveliness | grep -i cookie",
    ),
    Promise(
        id="scope",
        broken="A program with a client key gets more than that key allows, or another client's answer.",
        claim="a client key opens what it is for",
        trial="ask for another program's answer: `curl http://127.0.0.1:4141/v1/responses/ID` with your key is a 404",
        tests=(
            "providers/test_paths.py::test_no_name_of_a_model_leaves_the_rows_own_path",
            "journeys/test_kept_responses.py::test_another_client_never_sees_it",
            "journeys/test_first_request.py::test_a_blocked_client_is_refused_and_works_again_when_unblocked",
        ),
    ),
    Promise(
        id="encryption",
        broken="The database, a copy of it or the journal is found on disk unencrypted.",
        claim="the database is encrypted",
        trial='`file DIR/engine/gatehouse.db` says "data", and `sqlite3` cannot read it',
        tests=(
            "engine/test_privacy.py::test_a_file_that_is_not_encrypted_breaks_the_promise",
            "store/test_database.py::test_nothing_in_the_files_can_be_read_without_the_key",
        ),
        title="Encrypted at rest",
        check="file {database}; head -c 16 {database} | xxd",
    ),
    Promise(
        id="tls",
        broken="A request goes without TLS to anything but a provider on this machine or its network.",
        claim="TLS to every provider elsewhere",
        trial="`gatehouse network destinations` names the TLS version and the certificate's issuer of each",
        tests=(
            "engine/test_privacy.py::test_a_provider_elsewhere_without_tls_breaks_the_promise",
            "egress/test_guard.py::test_plain_http_never_goes_to_the_internet",
            "egress/test_tls.py::test_an_unknown_authority_is_refused",
        ),
        title="TLS to every provider",
        check="gatehouse provider list; gatehouse network destinations",
    ),
    Promise(
        id="retention",
        broken="Something is kept longer, or takes more room, than the retention you chose says.",
        claim="what is old goes",
        trial="`gatehouse retention show`, `gatehouse audit prune --preview`",
        tests=(
            "engine/test_privacy.py::test_rows_that_are_too_old_break_the_promise",
            "engine/test_privacy.py::test_retention_is_said_as_it_was_chosen_and_as_it_is",
            "store/test_retention.py::test_a_limit_of_size_holds_and_gives_the_space_back",
        ),
        title="Retention",
        check="gatehouse retention show; gatehouse audit prune --preview",
    ),
    Promise(
        id="log",
        broken="An entry of the audit log, or a row of the ledger, is changed, removed or put in and `gatehouse audit verify` "
        "calls it intact; or a client, a provider, a setting, a price of your own or a sum of the Usage page was changed past the log, "
        "and it does. (Not detected yet, where somebody has the key of a stopped gateway's database: triggers and other changes of the "
        "schema; costs that were worked out again; records of connections, hosts and names; whole days counted twice; ids put into rows of "
        "before there were ids; what came beside a finding that was accepted. And, after a crash, the entries cut off that "
        "were not signed yet. A change before the last verified point is found by the next verification of everything, not at the next "
        "start.)",
        claim="tampering is seen",
        trial="`gatehouse audit verify`; `tests/audit` edits, removes, swaps and adds entries behind its back",
        tests=(
            "audit/test_attacks.py::test_each_attack_is_found_and_named",
            "audit/test_attacks.py::test_a_changed_row_of_the_ledger_is_found_through_its_batch",
            "audit/test_appended.py::test_what_no_run_wrote_is_found_and_never_signed_over",
            "audit/test_appended.py::test_a_gateway_finds_what_was_appended_while_it_was_away_and_signs_nothing",
            "audit/test_excuses.py::test_a_row_that_was_changed_is_found_whatever_somebody_writes_to_excuse_it",
            "audit/test_states.py::test_an_edit_is_found_at_once_and_after_a_later_change",
        ),
    ),
    Promise(
        id="ledger",
        broken="A request that a client saw answered is missing from the ledger after a crash of any process.",
        claim="nothing acknowledged is lost",
        trial="kill any process with `kill -9` during a request, start again, `gatehouse activity`; `tests/journeys` does it",
        tests=(
            "journeys/test_engine_dies.py::test_killing_keeper_or_engine_at_random_loses_nothing",
            "store/test_killed.py::test_killed_five_times_nothing_acknowledged_is_lost_or_doubled",
        ),
    ),
    Promise(
        id="truth",
        broken="A row, the window or a command says what is not so: that a client left where Gatehouse ended its request, that a provider "
        "answers where it turns requests away, that nothing was contacted where it is not known.",
        claim="what is said is so",
        trial="`gatehouse quit` during a stream: the client reads an error that says so, the row says interrupted",
        tests=(
            "journeys/test_gatehouse_stops.py::test_who_is_waiting_when_gatehouse_stops_is_told_so_and_recorded_so",
            "journeys/test_who_ended_a_request.py::test_the_row_names_who_ended_it",
            "journeys/test_provider_health.py::test_a_provider_that_turns_requests_away_is_not_said_to_answer",
            "gui/test_home.py::test_what_is_not_known_is_not_shown_as_nothing",
        ),
    ),
    Promise(
        id="input",
        broken="Input from a client, a provider or a file makes a process run code, hang for good, or use memory without bound.",
        claim="hostile input is refused",
        trial="`python3 -m tests.attacks`; `tests/engine/test_counting.py`, `tests/egress/test_upstream_faults.py`, "
        "`tests/wire/test_fuzz.py`",
        tests=(
            "attacks/test_kit.py::test_it_held",
            "engine/test_server.py::test_a_smuggling_shape_gets_no_second_request_through",
            "engine/test_server.py::test_a_client_that_reads_slowly_holds_up_the_writer_and_not_the_memory",
            "engine/test_counting.py::test_an_endless_head_is_refused_after_what_a_head_may_have",
            "engine/test_counting.py::test_bodies_that_never_end_are_counted_while_they_arrive",
            "engine/test_counting.py::test_what_a_connection_held_is_free_without_a_collection",
            "wire/test_members.py::test_a_large_body_of_many_values_is_refused_before_it_is_decoded",
            "audit/test_alone.py::test_nothing_that_lies_in_the_folder_is_imported",
        ),
    ),
    Promise(
        id="port",
        broken="Gatehouse calls a listener its own that another program holds.",
        claim="the port is really ours",
        trial="`gatehouse status` asks the control channel and the port the same nonce and compares",
        tests=("keeper/test_keeper.py::test_a_stranger_who_answers_at_our_port_does_not_pass_for_us",),
    ),
    Promise(
        id="packages",
        broken="The installation takes a package whose hash is not in the lock.",
        claim="installed is what was locked, and nothing of it could fetch",
        trial="every package in `packaging/requirements.txt` has its hashes; source archives are never built; `packaging/bundle.txt` lists "
        "what a package needs of Qt, and `tests/packaging/test_bundle.py` goes through what that links to",
        tests=(
            "packaging/test_locks.py::test_every_package_is_pinned_and_has_hashes",
            "packaging/test_environment.py::test_a_package_that_does_not_fit_its_hash_is_not_installed",
            "packaging/test_environment.py::test_a_package_without_a_hash_is_not_installed",
            "packaging/test_bundle.py::test_nothing_on_the_list_can_fetch",
        ),
    ),
)
LIVE: Final = {promise.id: promise for promise in PROMISES if promise.title}
