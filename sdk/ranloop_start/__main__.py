"""`python -m ranloop_start`: the `ranloop` command where no script is installed, as in a container."""

from ranloop_start import ranloop

ranloop()
