"""What the backend and the Blender add-on share: the SMPL-X skeleton and, later, the wire."""
