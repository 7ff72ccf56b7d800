"""Short ways to look at what an importer made of a document."""

from graph.changes import Registration
from graph.importers.dbt import read_dbt
from graph.keys import AssetKey
from graph.model import Attributes, Flow
from tests.saying import key


def attributes(said: Registration, text: str) -> Attributes:
    (found,) = [each.attributes for each in said.assets if each.key == key(text)]
    return found


def flows(said: Registration) -> set[Flow]:
    return {each.flow for each in said.flows}


def keys(said: Registration) -> set[AssetKey]:
    return {each.key for each in said.assets}


def said_by_dbt(document: object, origin: str | None = None, namespace: str | None = None) -> Registration:
    """Without what its SQL says."""
    return read_dbt(document, origin, namespace).registration
