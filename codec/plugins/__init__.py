"""What other libraries load to read and write .ardm files. Each module knows one of them; nothing else in the
package imports anything from here.
"""
