"""The host side: what Blender loads. It is built together with the wire protocol it speaks."""
