"""What an operator's own file adds to a pack: further spellings of the labels that the pack reads."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from parsers.rule import Field, From, Pack, Rule, Source, TableBlock
from parsers.text import label_key

Further = Mapping[str, tuple[str, ...]]
"""Further spellings by the key of a label."""
_READ = (From.LABEL, From.COLUMN)


def labels_of(pack: Pack) -> dict[str, str]:
    """Return every label, column and heading that a pack reads, by its key."""
    fields = [field for rule in pack.rules for field in rule.all_fields]
    blocks = [block for rule in pack.rules for block in rule.tables]
    fields += [field for block in blocks for field in block.fields]
    fields += [pack.location] if pack.location else []
    words = [word for field in fields for source in field.sources if source.kind in _READ for word in source.words]
    words += [word for field in fields for word in (*field.after, *field.before)]
    words += [word for block in blocks for spellings in (block.heading, *block.columns) for word in spellings]
    return {label_key(word): word for word in words}


def with_labels(pack: Pack, further: Further) -> Pack:
    """Return a pack that reads the further spellings wherever it reads the label."""
    if not further:
        return pack
    return replace(
        pack,
        location=_field(pack.location, further) if pack.location else None,
        rules=tuple(_rule(rule, further) for rule in pack.rules),
    )


def _rule(rule: Rule, further: Further) -> Rule:
    occurred = rule.occurred
    return replace(
        rule,
        fields=tuple(_field(field, further) for field in rule.fields),
        occurred=replace(occurred, field=_field(occurred.field, further)) if occurred else None,
        tables=tuple(_table(block, further) for block in rule.tables),
    )


def _table(block: TableBlock, further: Further) -> TableBlock:
    fields = tuple(_field(field, further) for field in block.fields)
    columns = tuple(_words(words, further) for words in block.columns)
    return replace(block, heading=_words(block.heading, further), columns=columns, fields=fields)


def _field(field: Field, further: Further) -> Field:
    return replace(
        field,
        sources=tuple(_source(source, further) for source in field.sources),
        after=_words(field.after, further),
        before=_words(field.before, further),
    )


def _source(source: Source, further: Further) -> Source:
    return replace(source, words=_words(source.words, further)) if source.kind in _READ else source


def _words(words: Iterable[str], further: Further) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for word in words for one in (word, *further.get(label_key(word), ()))))
