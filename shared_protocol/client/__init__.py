"""The one client: Blender's add-on and ``humanref generate --server`` speak to a backend through it.

The only part of shared_protocol that imports zmq. Nothing here is imported by the rest of the package.
"""
