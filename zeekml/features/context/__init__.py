"""Context of a flow: what its hosts did in the last hour. `engine` is the face of the room."""
