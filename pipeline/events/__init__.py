"""The canonical event: foreign formats in, features out, text gone."""
