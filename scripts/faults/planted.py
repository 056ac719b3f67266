"""The faults that the tests have to notice: each a change of the source, and the test files of which one has to fail.

What is replaced occurs exactly once in its file. The faults are mistakes that others made, checks left out one at a
time, and short cuts that look harmless.
"""

from dataclasses import dataclass

CLIENT, SERVER = "federation/secagg/client.py", "federation/secagg/server.py"
HISTORY, PARTIES = "federation/secagg/history.py", "federation/secagg/parties.py"
PRIMITIVES, SHAMIR = "federation/secagg/primitives.py", "federation/secagg/shamir.py"
GRAPH = "federation/secagg/graph.py"
CONTEXTS, PROOF = "federation/secagg/contexts.py", "federation/secagg/proof.py"
PLAN, IDENTITY, WIRE, RING = "federation/plan.py", "federation/identity.py", "federation/wire.py", "federation/ring.py"
STREAM, MERKLE = "federation/stream.py", "federation/secagg/merkle.py"
MEMBER, JOURNAL, POLICY = "clients/member.py", "clients/journal.py", "clients/policy.py"
CONTRIBUTION, STORE = "clients/contribution.py", "aggregator/store.py"
ANSWERS, BODIES = "aggregator/carriers/answers.py", "aggregator/carriers/bodies.py"
DEALT, EXCHANGE = "federation/secagg/dealt.py", "aggregator/exchange.py"
MARKS, READERS = "clients/ingest/marks.py", "clients/ingest/readers.py"
SELECTION, TEXTS, SPLITS = "clients/ingest/selection.py", "clients/ingest/store.py", "clients/splits.py"
REVISIONS, RECORD = "clients/ingest/revisions.py", "clients/split_record.py"

ROUNDS, OPENING = "tests/protocol/test_rounds.py", "tests/protocol/test_attacks_opening.py"
SETUP, LIARS = "tests/protocol/test_attacks_setup.py", "tests/protocol/test_attacks_members.py"
ORDER, REPLAY = "tests/protocol/test_attacks_history.py", "tests/protocol/test_attacks_replay.py"
RESTARTS, SECRETS = "tests/protocol/test_member_restarts.py", "tests/protocol/test_secrets.py"
COORDINATOR, ROLLBACK = "tests/protocol/test_restarts.py", "tests/protocol/test_attacks_rollback.py"
QUORUM = "tests/protocol/test_quorum.py"
CLOSED = "tests/protocol/test_closed_jobs.py"
PROBING, ABSENCE = "tests/protocol/test_attacks_probing.py", "tests/protocol/test_attacks_absence.py"
NEIGHBOURS, ON_THE_RING = "tests/protocol/test_attacks_neighbourhoods.py", "tests/protocol/test_attacks_ring.py"
ENCODING = "tests/protocol/test_attacks_encoding.py"
MACHINE = "tests/protocol/test_state_machine.py::test_directed_every_kind_of_trouble_at_once_still_completes"


def unit(name: str) -> str:
    """A file of unit tests."""
    return f"tests/unit/test_{name}.py"


@dataclass(frozen=True)
class Fault:
    """`before` becomes `after` in `file`; one of `tests` (files, or one test by its node) has to fail."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


PLANTED: tuple[Fault, ...] = (
    # Masks
    Fault("wrong sign between pairs", CLIENT, "1 if me == low else -1", "1", (ROUNDS,)),
    Fault("wrong sign for drop-outs", SERVER, "-1 if peer == low else 1", "1", (ROUNDS,)),
    Fault("no self-mask", CLIENT, '[(derive(self._seed, ctx, "self", me), 1)]', "[]", (ROUNDS,)),
    Fault("truncated seed", CLIENT, "secrets.token_bytes(32)", "secrets.token_bytes(4) + bytes(28)", (SECRETS,)),
    Fault(
        "mask key used again",
        CLIENT,
        "mask_private, channel_private = X25519PrivateKey.generate(), X25519PrivateKey.generate()",
        "channel_private = X25519PrivateKey.generate()\n"
        "    mask_private = vars(announce).setdefault(seat.me.id, X25519PrivateKey.generate())",
        (MACHINE,),
    ),
    Fault("masks without context", PRIMITIVES, "salt=salt, info", "salt=bytes(32), info", (unit("vectors"),)),
    Fault("keys without purpose", PRIMITIVES, "canonical_cbor([purpose, *parties])", 'b""', (unit("vectors"),)),
    Fault("keystream from the same counter twice", PRIMITIVES, "counter = (start * width // _AES_BLOCK)",
          "counter = (0 * start * width)", (unit("primitives"),)),
    # Shares
    Fault("threshold of shares one too low", CLIENT, "shamir.share(seed, parties.threshold, indices)",
          "shamir.share(seed, parties.threshold - 1, indices)", (SECRETS,)),
    Fault("coefficients of 32 bits", SHAMIR, "secrets.randbelow(PRIME)", "secrets.randbelow(2**32)",
          (unit("shamir"),)),
    Fault("share of the wrong kind", CLIENT, "{dealer: self._held[dealer][0] for", "{dealer: self._held[dealer][1] for",
          (ROUNDS,)),
    Fault("both kinds of share", CLIENT, "for dealer in self.gone if dealer in self._held}",
          "for dealer in self._held}", (OPENING,)),
    Fault("dealt share not compared with its commitment", CLIENT, "return opened if actual == committed else None",
          "return opened", (LIARS, ENCODING)),
    Fault("leaf not compared", CLIENT,
          "if root_from(mine_leaf, mine, len(recipients), sealed.path) != shares.root:", "if False:",
          (LIARS, ENCODING)),
    Fault("paths of any length", MERKLE, "if len(path) != path_size(at, count):", "if False:", (unit("merkle"),)),
    Fault("envelope for anybody", PRIMITIVES, "if not isinstance(opened, list) or opened[:2] != [dealer, recipient] or",
          "if not isinstance(opened, list) or", (unit("primitives"),)),
    Fault("envelope without context", PRIMITIVES, '"envelope", share_ctx, dealer, recipient])', '"envelope"])',
          (unit("primitives"), unit("vectors"))),
    Fault("revealed share not compared", SERVER,
          "if share_commitment(self.share_ctx, what, dealer, sender, share) != expected:", "if False:", (LIARS,)),
    Fault("recovered seed not compared", SERVER,
          "if seed_commitment(self.share_ctx, member, seed) != self._shares[member].seed_commitment:", "if False:",
          (LIARS,)),
    Fault("recovered key not compared", SERVER,
          "if private.public_key().public_bytes_raw() != self._keys[member].mask_key:", "if False:", (LIARS,)),
    Fault("holders not counted", SERVER, "self.require_holders(self.u4)", "pass", (LIARS,)),
    # Points, signatures, contexts
    Fault("no low-order check", PRIMITIVES, " and u not in _SMALL_ORDER", "", (unit("primitives"),)),
    Fault("points not checked by members", CLIENT, "check_points(keys)", "pass", (SETUP,)),
    Fault("signatures not checked", IDENTITY,
          'verify_bytes(public_key, message.signature, message.to_sign(), f"{header.kind} of {sender}")', "pass",
          (OPENING,)),
    Fault("context not compared", IDENTITY, "expected = (body.kind, digest, sender, recipient)",
          "expected = (body.kind, header.digest, sender, recipient)", (OPENING, REPLAY, SETUP, PROBING)),
    Fault("survivors without a context", CONTEXTS, '_digest("survivors", [ctx, ', '_digest("survivors", [b"", ',
          (unit("vectors"),)),
    Fault("cohort not in the context", CONTEXTS, 'return _digest("share context", [setup_ctx, keys])',
          'return _digest("share context", [setup_ctx])', (unit("vectors"),)),
    # Sets
    Fault("the site's minimum instead of the quorum", CLIENT, "return max(self.minimum_cohort, self.parties.quorum)",
          "return self.minimum_cohort", (SETUP,)),
    Fault("a quorum that a plan lowers", PLAN, 'else max(stated, self.least_quorum)', "else stated", (QUORUM,)),
    Fault("a larger quorum ignored", PARTIES, "return max(self.asked, self.least_quorum)", "return self.least_quorum",
          (QUORUM,)),
    Fault("one member counted twice", PARTIES, "if len(set(senders)) != len(senders):", "if False:", (SETUP, OPENING)),
    Fault("order of a set not checked", PARTIES, "if senders != sorted(senders):", "if False:", (SETUP, OPENING)),
    Fault("strangers allowed", PARTIES, "if sender not in self.members:", "if sender not in self.roster.keys:",
          (SETUP, OPENING, LIARS)),
    Fault("own statement not required", CLIENT,
          "if not any((s.header_bytes, s.signature) == (mine.header_bytes, mine.signature) for s in shown):",
          "if False:", (SETUP, OPENING)),
    Fault("dealers outside the cohort", CLIENT, "if outside or len(inbox.sealed) != len(dealers):",
          "if len(inbox.sealed) != len(dealers):", (SETUP,)),
    Fault("survivors do not make up the cohort", CLIENT,
          "if sorted([*alive, *survivors.gone]) != sorted(self.dealers):", "if False:", (OPENING,)),
    Fault("votes for another set counted", CLIENT, "if other or strangers:", "if strangers:", (OPENING,)),
    Fault("votes of strangers counted", CLIENT, "if other or strangers:", "if other:", (OPENING,)),
    Fault("votes not counted", CLIENT, "if len(votes) < self.seat.votes:", "if False:", (OPENING,)),
    Fault("site's own minimum ignored", CLIENT, "return max(self.minimum_cohort, self.parties.quorum)",
          "return self.parties.quorum", (SETUP,)),
    Fault("proof without votes", PROOF, "if len(votes) < parties.threshold or len(", "if len(", (PROBING, ABSENCE)),
    Fault("proof of another round", PROOF, "if before.round != current.round - 1 or any(", "if any(",
          (PROBING, ABSENCE)),
    # Neighbourhoods
    Fault("a claim believed where all have to be shown", PARTIES, "            if len(claim):", "            if False:",
          (NEIGHBOURS,)),
    Fault("neighbours not compared", CLIENT, "        if differing:", "        if False:", (NEIGHBOURS,)),
    Fault("a quorum of neighbours only", CLIENT, "if len(everyone.members) < self.minimum:", "if False:",
          (NEIGHBOURS,)),
    Fault("absent members not in the claim's digest", CONTEXTS, 'f"{name} claim", claim.to_plain()',
          'f"{name} claim", claim.statements', (NEIGHBOURS,)),
    Fault("voters of a proof not compared", PROOF, "if not set(votes) <= set(parties.graph(share_ctx).voters):",
          "if False:", (NEIGHBOURS,)),
    Fault("a ring that can be opened in parts", GRAPH, "reach + 2 + spare", "reach + 1 + spare", (unit("graph"),)),
    Fault("the same ring in every set-up", GRAPH, "canonical_cbor([share_ctx, member])", "canonical_cbor([member])",
          (unit("graph"),)),
    Fault("dealers of others believed", CLIENT, 'self.seat.require_neighbours(graph, tuple(dealers), "Shares")', "pass",
          (ON_THE_RING,)),
    Fault("survivors of others believed", CLIENT, 'self.seat.require_neighbours(graph, tuple(alive), "Masked")', "pass",
          (ON_THE_RING,)),
    Fault("fewer than t neighbours shown", CLIENT,
          "opened = self.parties.open_all(statements, kind, digest, step, self.shown)",
          "opened = self.parties.open_all(statements, kind, digest, step, 1)", (ON_THE_RING,)),
    Fault("absent members not checked", PARTIES,
          "if list(claimed.absent) != sorted(absent & set(self.members)):", "if False:", (NEIGHBOURS,)),
    Fault("votes of any member", CLIENT, "strangers = sorted(set(votes) - set(self.voters))",
          "strangers = sorted(set(votes) - set(self.seat.parties.members))", (NEIGHBOURS,)),
    Fault("a quorum without regard to colluders", PLAN, "return (2 * members + corrupt) // 3 + 1",
          "return (2 * members) // 3 + 1", (ON_THE_RING,)),
    Fault("a ring that anybody can foresee", PARTIES, "return graph_of(self.members, self.sparse.degree",
          "share_ctx = bytes(32)\n        return graph_of(self.members, self.sparse.degree", (ON_THE_RING,)),
    Fault("the chances of one member for all", GRAPH, "(members - corrupt) * _tail(others, corrupt, degree, spare + 1)",
          "_tail(others, corrupt, degree, spare + 1)", (unit("rings"),)),
    Fault("one colluder too many", GRAPH, "_tail(others, corrupt, degree, spare + 1)",
          "_tail(others, corrupt, degree, spare + 2)", (unit("rings"),)),
    Fault("voters without a majority", GRAPH,
          "not_private += _tail(members, corrupt, degree + 1, 2 * threshold - degree - 1)", "pass", (unit("rings"),)),
    Fault("any threat will do", POLICY, "and not self.semi_malicious:", "and False:", (NEIGHBOURS,)),
    # The order of things
    Fault("spent adapters forgotten", HISTORY, "if adapter in self.spent:", "if False:", (ORDER,)),
    Fault("opened rounds forgotten", HISTORY, "if round <= self.revealed_round:", "if False:",
          (ORDER, unit("history"))),
    Fault("older attempts not closed", HISTORY, "if position[0] != self.keyed[0]:", "if False:",
          (ORDER, unit("history"))),
    Fault("Keys twice for a set-up", HISTORY, "if position <= self.keyed:", "if False:", (ORDER, unit("history"))),
    Fault("Masked twice for a set-up", HISTORY, "if position <= self.masked:", "if False:", (unit("history"),)),
    Fault("Revealed not only for the last vector", HISTORY, "if position != self.masked:", "if False:",
          (ORDER, unit("history"))),
    Fault("a vector does not close the round before", MEMBER, "if p >= session.position}", "}", (ORDER,)),
    Fault("an attempt does not close the one before", MEMBER, "if p[0] == offer.attempt}", "}", (ORDER, REPLAY)),
    Fault("a reveal is not remembered", MEMBER, "self._history, session.state = history, None", "session.state = None",
          (ORDER, RESTARTS)),
    Fault("a finished step answers anew", MEMBER, "if session is not None and header.kind in session.answered:",
          "if False:", (ORDER, REPLAY)),
    Fault("contradictions are not kept", MEMBER, 'self._journal.keep_evidence(f"two different {kind}", pairs)', "False",
          (SETUP, OPENING)),
    Fault("parent not compared", MEMBER, "carrier.ctx is not None and offer.parent != carrier.ctx", "False",
          (SETUP, ORDER)),
    Fault("data not compared with its signed hash", MEMBER, "message.check_blob()", "pass",
          (ENCODING, PROBING, REPLAY)),
    Fault("rounds of a data set not counted", MEMBER,
          "self._journal.count_contribution(self._plan.job, session.position)", "pass", (ORDER,)),
    Fault("any plan will do", POLICY, "if offer.plan != self.approved_plan:", "if False:", (SETUP,)),
    Fault("any adapter will do", CONTRIBUTION, "if not difference <= SAME_ADAPTER:", "if False:", (ORDER,)),
    # The journal
    Fault("sent although the journal failed", MEMBER,
          "self._journal.commit(self._history, departure, open=self._is_open())",
          "with __import__('contextlib').suppress(Exception):\n"
          "                self._journal.commit(self._history, departure, open=self._is_open())", (RESTARTS,)),
    Fault("history not durable", JOURNAL, "return History((row[0], row[1]), (row[2], row[3]), row[4], spent)",
          "return History(spent=spent)", (RESTARTS,)),
    Fault("spent adapters not durable", JOURNAL, '"INSERT OR IGNORE INTO spent VALUES (?)", fresh',
          '"INSERT OR IGNORE INTO spent VALUES (?)", []', (ORDER, RESTARTS, unit("journal"))),
    Fault("commits do not wait for the disk", JOURNAL, "PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF",
          (RESTARTS, unit("journal"))),
    Fault("journal readable by others", JOURNAL, "os.chmod(path, 0o600)", "os.chmod(path, 0o644)",
          (SECRETS, unit("journal"))),
    Fault("changed rows not noticed", JOURNAL, "if chain != stored:", "if False:", (unit("journal"),)),
    Fault("two writers", JOURNAL, "self._require_only_writer()", "pass", (unit("journal"), RESTARTS)),
    Fault("closed jobs speak", JOURNAL,
          'if self._db.execute("SELECT 1 FROM closed WHERE job = ?", (job,)).fetchone() is not None:', "if False:",
          (CLOSED,)),
    # The coordinator's steps
    Fault("steps not durable", STORE, "self._insert(answers, sum_sha256)", "pass", (COORDINATOR,)),
    Fault("envelopes not on disk before their row", STORE, "self._shelves.of(answers.offer.round).sync()", "pass",
          (unit("store"),)),
    Fault("damaged envelopes gone on with", STORE,
          "if places and not self._shelves.holds(round, statements, places):", "if False:", (unit("store"),)),
    Fault("kept envelopes emptied", STORE, "if round not in self._rounds_with_shares():", "if True:",
          (unit("store"),)),
    Fault("envelopes not compared when read", DEALT, "if zlib.crc32(data) != self._checks[at]:", "if False:",
          (unit("dealt"),)),
    Fault("a member blamed for the disk", EXCHANGE, "except ShelfDamaged:\n                raise",
          "except ZeroDivisionError:\n                raise", ("tests/protocol/test_restarts_disk.py",)),
    Fault("a sum taken twice", SERVER, "self._sum += answers.total", "self._sum += 2 * answers.total", (COORDINATOR,)),
    Fault("too few vectors kept", SERVER, "if masked and not self.ready:", "if False:", (ROLLBACK,)),
    # Numbers and bytes
    Fault("no head-room", RING, "return (half - 1) // self.members", "return half - 1", (unit("ring"),)),
    Fault("biased rounding", RING, "np.floor(steps, out=steps)", "np.ceil(steps, out=steps)", (unit("ring"),)),
    Fault("no rounding by chance", RING, "rounding.random(len(part))", "0.5", (unit("ring"),)),
    Fault("not clipped", RING, "np.clip(steps, -most, most, out=steps)", "pass", (unit("ring"),)),
    Fault("rounding beyond the range", RING, "np.clip(steps, -most, most, out=steps)",
          "np.clip(steps, -most, most + 1, out=steps)", (unit("ring"),)),
    Fault("numbers drawn again", STREAM, "self._keystream.update_into(bytes(4 * size), buffer)",
          "self._keystream = Cipher(algorithms.AES256(bytes(32)), modes.CTR(bytes(16))).encryptor(); "
          "self._keystream.update_into(bytes(4 * size), buffer)", (unit("ring"),)),
    Fault("not only canonical CBOR", WIRE, "if canonical_cbor(value) != data:", "if False:",
          (unit("wire"), unit("wire_malformed"))),
    Fault("bytes left over", WIRE, "    if rest:\n", "    if False:\n", (unit("wire"), unit("wire_malformed"))),
    # Schemes
    Fault("the last basis frozen", "federation/schemes/alternating.py", "freezes_a = moved.round % 2 == 0",
          "freezes_a = moved.round % 2 == 1", (unit("alternating"),)),
    Fault("velocity not moved to the next factor", "federation/schemes/alternating.py",
          "_times(factors[of_b].T, state.velocity[of_b], state.factors[of_a])", "np.zeros_like(factors[of_a])",
          (unit("momentum"),)),
    Fault("velocity in the new basis", "federation/schemes/alternating.py",
          "_times(state.factors[of_b], state.velocity[of_a], factors[of_a].T)",
          "_times(factors[of_b], state.velocity[of_a], factors[of_a].T)", (unit("momentum"),)),
    Fault("A moves with B", "federation/schemes/ffa.py", 'if name.endswith(".lora_B"))', ")", (unit("schemes_exact"),)),
    Fault("rows that are no unit", "federation/schemes/fedsb.py",
          "/ np.sqrt(np.bincount(row)[row])", "/ np.sqrt(count)", (unit("schemes_exact"),)),
    Fault("export without R", "federation/schemes/fedsb.py",
          "state.factors[f\"{layer}.lora_B\"].astype(np.float64) @ state.factors[name]",
          "state.factors[f\"{layer}.lora_B\"].astype(np.float64)", (unit("schemes_exact"),)),
    Fault("the digest of what travels alone", "federation/step.py",
          "tensors.digest({**state.factors, **_named(state.velocity)})",
          "tensors.digest(_named(state.velocity) or state.factors)", (unit("momentum"),)),
    Fault("velocity unchecked", CONTRIBUTION,
          "max(of_factors, tensors.relative_difference(actual.velocity, expected.velocity))", "of_factors",
          ("tests/protocol/test_schemes.py",)),
    Fault("velocity lost on restoring", "federation/step.py",
          "return State(round, {**first.factors, **factors}, velocity)",
          "return State(round, {**first.factors, **factors}, first.velocity)",
          ("tests/protocol/test_schemes.py", unit("momentum"))),
    # The carrier
    Fault("an answer given unlooked at", ANSWERS, "if id not in answers or answers[id] == self._approved.get(id)}", "}",
          (unit("answers_given"),)),
    Fault("half an answer kept", ANSWERS, "            state.object_store.delete(each)\n", "            pass\n",
          (unit("answers_given"),)),
    Fault("any part of an answer large", BODIES, "return frame or len(request.object_content) <= SMALL", "return True",
          (unit("gate_answers"),)),
    Fault("requests in the log", "aggregator/bounded_http.py", "        self.access_log = False", "        pass",
          (unit("bounded_http"),)),
    Fault("a seed in the log", CLIENT, "    _seed: bytes = field(repr=False)\n\n    def on_inbox",
          "    _seed: bytes = field()\n\n    def on_inbox", (SECRETS,)),
    # Marks of confidentiality
    Fault("no mark by the sign in a circle", MARKS, "(?:マル|[丸○〇◯]){_GAP}秘|", "", (unit("ingest_marks"),)),
    Fault("no mark with a gap in it", MARKS, r'_GAP = r"[\s_]*"', '_GAP = ""', (unit("ingest_marks"),)),
    Fault("no mark after a label", MARKS, r'rf"|^[^\n:|]{{1,20}}:[ \t]*(?:{spelled}){_AFTER}{_ORNAMENT}$"', '""',
          (unit("ingest_marks"),)),
    Fault("comments on cells unread", "clients/ingest/sheets.py", r"xl/(?:comments\d*|threadedComments/\w+)\.xml|",
          "", (unit("ingest_marks"),)),
    Fault("rows that are not told unread", "clients/ingest/logs/__init__.py",
          "marks=marks.in_cells(decoded.text, file.form.delimiter), ", "", (unit("ingest_marks"),)),
    Fault("a data folder's own name unread", SELECTION, "{self.file.folder if self.file else ''}/{self.name}",
          "{self.name}", (unit("ingest_marks"),)),
    Fault("a locked file forbids nothing", SELECTION, "for each in (*found, *remembered) if", "for each in found if",
          (unit("ingest_marks"),)),
    Fault("the last reading of a locked file forgotten", TEXTS, "return noted.digest, parts",
          "return noted.digest, None", (unit("ingest_marks"),)),
    Fault("full width in cells of logs unread", MARKS, ', "ＯＮＦＩＤＥＮＴＩＡＬ", "ｏｎｆｉｄｅｎｔｉａｌ")', ")",
          (unit("ingest_marks"),)),
    Fault("what a PDF says of itself unread", "clients/ingest/pdf.py", "[*reading.about, *reading.stamps,",
          "[*reading.stamps,", (unit("ingest_marks"),)),
    Fault("any word in a page's menu a mark", "clients/ingest/markup.py",
          "around=around, marks=marks.in_cells(beside, \"|\")", "around=around + beside", (unit("ingest_marks"),)),
    Fault("the machine's fonts", "clients/ingest/pdf.py", "    pdf_fonts.use_box_font()\n", "",
          (unit("ingest_marks"),)),
    # What is left out of a folder, or kept of it
    Fault("rows of both sides trained on", SPLITS,
          "_without_between([document for _, document in distinct], earlier)", "[document for _, document in distinct]",
          (unit("logs_held_out"),)),
    Fault("exports of the same rows dealt apart", SPLITS, "told_rows.sharing(rows)):", "[]):",
          (unit("logs_held_out"),)),
    Fault("an empty record of the split", RECORD,
          'if damage or record.execute("SELECT 1 FROM texts").fetchone() is None:', "if damage:", (unit("manifest"),)),
    Fault("a truncated record of the split", RECORD, "            if not found:\n", "            if False:\n",
          (unit("manifest"),)),
    Fault("a parser's own words in a reason", READERS, "kind = type(error).__name__", "kind = str(error)",
          (unit("ingest_folder"), unit("ingest_archive"))),
    Fault("damaged results of steps believed", "clients/ingest/sealing.py",
          "return said if sealed(said, became) == row else None", "return said", (unit("ingest_store_damaged"),)),
    Fault("damaged rows of files believed", "clients/ingest/tables.py", "seal == seal_of_row(facts), ", "True, ",
          (unit("ingest_store_damaged"),)),
    Fault("damaged names in archives believed", TEXTS,
          "if not rows or any(seal not in (b\"\", seal_of_row(row)) for _, seal, *row in rows):", "if not rows:",
          (unit("ingest_store_damaged"),)),
    Fault("what a damaged row forbade forgotten", TEXTS, "            raise ReadingDamaged(path=path, store=self.path)",
          "            return b\"\", []", (unit("ingest_store_damaged"),)),
    Fault("a file without a reading forbids nothing", "clients/ingest/folder.py",
          "parts = parts if parts is not None else [StoredPart(\"\", NOT_OPENED)]", "parts = parts or []",
          (unit("ingest_store_damaged"),)),
    Fault("any share in a share's place", "clients/ingest/missing.py",
          "            raise _another_mounted(mount, below[mount])", "            pass", (unit("ingest_missing"),)),
    Fault("a mail address over a line end", "clients/ingest/personal/addresses.py", r"(?:@(?:\n {0,4})?|", "(?:@|",
          (unit("personal") + "::TestFinding::test_what_tries_to_slip_through",)),
    Fault("old archives read", REVISIONS, "_OLD.fullmatch(_folded(folder))", "_OLD.fullmatch(folder)",
          (unit("ingest_revisions"),)),
    Fault("revisions of archives read", REVISIONS, " or not archives.isdisjoint(within[name])", "",
          (unit("ingest_revisions"),)),
    Fault("links counted as what they lead to", "clients/extracted.py",
          "file.lstat().st_size", "file.stat().st_size", (unit("purging"),)),
    Fault("what is in a folder that a link leads to counted", "clients/extracted.py",
          "if path.is_dir() and not path.is_symlink() else [path]", "if path.is_dir() else [path]", (unit("purging"),)),
    # What a run says
    Fault("fewer tokens for a member alone", "aggregator/simulate/arms.py",
          "plan.rounds + (choice.personalised_rounds if choice.personalised else 0)", "plan.rounds",
          (unit("arms"),)),
    Fault("a run with more tokens taken for one with fewer", "aggregator/simulate/comparison.py",
          'inputs["rounds"] = arms.local_rounds(bench.plan, choice)', 'inputs["rounds"] = bench.plan.rounds',
          (unit("arms"),)),
    Fault("harm by the federated adapter alone", "aggregator/simulate/differences.py", "*harm[0], *harm[1])",
          "*harm[0], *harm[0])", (unit("differences"),)),
)  # fmt: skip
