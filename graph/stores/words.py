"""What the stores' text search finds an asset by. Every store indexes and asks for the same words, so they agree."""

import re
import unicodedata

from graph.attributes import owner_names
from graph.errors import InvalidInput
from graph.keys import AssetKey
from graph.model import Attributes, Json

MAX_QUERY_WORDS = 64

_WORD = re.compile(r"[^\W_]+")
_MAX_LENGTH = 128  # Lucene splits longer words (255) on its own terms; only what comes later in a word is lost


def words(text: str) -> list[str]:
    """The words of `text` in order, without case and diacritics: `Café_Orders v2` has cafe, orders and v2."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        text = "".join(character for character in text if not unicodedata.combining(character))
    return [word[:_MAX_LENGTH] for word in _WORD.findall(text.lower())]


def query_words(text: str) -> list[str]:
    """The distinct words to look for. Raises InvalidInput for more than MAX_QUERY_WORDS."""
    distinct = list(dict.fromkeys(words(text)))
    if len(distinct) > MAX_QUERY_WORDS:
        raise InvalidInput(f"a search takes at most {MAX_QUERY_WORDS} words, this one has {len(distinct)}", text)
    return distinct


def search_text(key: AssetKey, attributes: Attributes) -> str:
    """The words an asset is found by, joined by single spaces: its key, as text and unescaped, and what is shown of it."""
    tags = attributes.get("tags")
    texts = (
        str(key),
        key.namespace,
        key.name,
        *key.path,
        _text(attributes.get("description")),
        *owner_names(attributes.get("owners")),
        *(map(_text, tags) if isinstance(tags, list) else ()),
    )
    return " ".join(word for text in texts for word in words(text))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
