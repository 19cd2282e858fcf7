"""What the backend and the Blender add-on share: the wire (docs/protocol.md) and the SMPL-X skeleton.

The door to the wire is :mod:`codec`; documents that travel as blobs are made and read by :mod:`packing`.
"""
