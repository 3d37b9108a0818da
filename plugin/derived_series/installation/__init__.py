"""The plugin in somebody's own Orthanc: writes the configuration that it needs, and finds what is wrong with a set-up.

It knows Orthanc by its configuration files and by HTTP only.
"""
