"""In a notebook: the live panel, pictures in cells, magics.

``vfiokit.panel(debugger)`` shows a migration that is stepped; ``%load_ext vfiokit`` gives ``%vfio`` and lets
pictures show themselves. Needs ``pip install 'vfiokit[notebook]'``.
"""
