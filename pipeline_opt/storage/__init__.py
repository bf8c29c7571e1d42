"""What can be opened here, and what is there.

`listing` turns a source's paths into files, `formats` and `compression` tell what files hold, `tfrecord` finds damage,
`schemes` says which URIs open on this machine.
"""
