"""Personal and secret data in what was read: found by rules, reported, masked, or its document set aside.

`redact.redacted` is the way in. The rules know contexts and lists, not people: docs/ingest.md says what they find and
what they miss, measured. They run in the member's process on text that a hostile file may have shaped, so each of them
takes time linear in the text: patterns begin behind a look-back that allows one start a run, and repeat within bounds.
"""
