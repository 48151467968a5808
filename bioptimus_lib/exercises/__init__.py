"""The exercises of the chapters, one module each: ``chapter_00``, ``chapter_01``, …"""
