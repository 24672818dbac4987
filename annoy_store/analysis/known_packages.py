"""The packages that published code often imports: which one on PyPI provides a module.

Decision: only packages that are listed here are ever advised to be installed. The name of a missing
module is a word of untrusted code: most that are on no list are files of the project that the code
was taken from, and anybody can register such a name on PyPI.
"""

from __future__ import annotations

import sys

_SAME_NAME = """
aiofiles aiohttp altair anyio apscheduler arrow astropy asyncpg attrs babel bcrypt bleach bokeh
boltons boto boto3 botocore bottle cachetools celery certifi cffi chainer chardet cherrypy click
cloudpickle colorama coloredlogs colorlog configobj cryptography cupy cvxopt cvxpy cycler
dask dateparser deap deepdiff dill django docopt docutils ecdsa einops emoji ephem eventlet
fabric faker falcon fastapi feedparser filelock flask flax furl future fuzzywuzzy
gensim geopandas geopy gevent gmpy2 graphviz greenlet gunicorn gurobipy gym gymnasium
h11 h5py haversine html2text html5lib httplib2 httpx humanize hyperopt hypothesis
icalendar idna igraph imageio inflect inflection ipywidgets iso8601 isodate itsdangerous
jax jaxlib jedi jellyfish jieba jinja2 jmespath joblib jsonpickle jsonschema
keras kivy kombu kubernetes langchain langdetect librosa lightgbm llvmlite loguru lxml lz4
markdown markdown2 markupsafe marshmallow matplotlib mistune mlflow mongoengine moviepy mpmath
msgpack multidict music21 mutagen natsort netaddr networkx nibabel nltk numba numexpr numpy
oauthlib onnx onnxruntime openai openpyxl optuna orjson ortools osmnx
packaging pandas paramiko parsimonious passlib pathspec patsy peewee pendulum pexpect pint plotly
pluggy polars praw prettytable psutil psycopg ptyprocess pulp pyarrow pyasn1 pycountry pycparser
pydantic pydot pydub pyfiglet pygame pyglet pygments pymongo pymysql pynput pyparsing pyperclip
pyproj pyspark pytest pytz qrcode rdflib redis regex reportlab requests requests_oauthlib rsa
sanic scipy scrapy seaborn selenium sentencepiece shapely shortuuid simplejson simpy six
sortedcontainers soupsieve spacy sphinx sqlalchemy sqlparse starlette statsmodels structlog sympy
tabulate tenacity tensorboard tensorflow termcolor textblob textdistance theano threadpoolctl
tiktoken tinydb toml tomli tomlkit toolz torch torchaudio torchvision tornado tqdm traitlets
transformers trimesh trio tweepy typeguard typer tzlocal ujson unidecode uritemplate urllib3
uvicorn voluptuous wandb wcwidth webcolors websockets werkzeug whoosh wordcloud wrapt wtforms
xarray xgboost xlrd xlsxwriter xlwt xmltodict yarl yfinance zstandard
"""
_OTHER_NAME = """
Bio:biopython Crypto:pycryptodome Cryptodome:pycryptodomex Cython:cython IPython:ipython
Levenshtein:levenshtein MySQLdb:mysqlclient OpenGL:pyopengl OpenSSL:pyopenssl PIL:pillow
PyPDF2:pypdf2 PyQt5:pyqt5 PyQt6:pyqt6 PySide2:pyside2 PySide6:pyside6 absl:absl-py attr:attrs
bs4:beautifulsoup4 bson:pymongo cairo:pycairo cv2:opencv-python-headless dateutil:python-dateutil
discord:discord.py dns:dnspython docx:python-docx dotenv:python-dotenv faiss:faiss-cpu
fitz:pymupdf flask_cors:flask-cors flask_sqlalchemy:flask-sqlalchemy git:gitpython
google.cloud.storage:google-cloud-storage google.protobuf:protobuf grpc:grpcio
hamcrest:pyhamcrest imblearn:imbalanced-learn jwt:pyjwt kafka:kafka-python ldap:python-ldap
magic:python-magic memcache:python-memcached more_itertools:more-itertools
mpl_toolkits:matplotlib nacl:pynacl pkg_resources:setuptools pptx:python-pptx
prometheus_client:prometheus-client prompt_toolkit:prompt-toolkit psycopg2:psycopg2-binary
pylab:matplotlib pysat:python-sat pytorch_lightning:pytorch-lightning ruamel.yaml:ruamel.yaml
rest_framework:djangorestframework serial:pyserial setuptools:setuptools skimage:scikit-image
sklearn:scikit-learn slugify:python-slugify speech_recognition:speechrecognition
telegram:python-telegram-bot tensorflow_probability:tensorflow-probability
typing_extensions:typing-extensions umap:umap-learn usb:pyusb websocket:websocket-client
win32api:pywin32 wx:wxpython yaml:pyyaml z3:z3-solver zmq:pyzmq
"""
PACKAGES = {name: name for name in _SAME_NAME.split()}
PACKAGES.update(entry.partition(":")[::2] for entry in _OTHER_NAME.split())

_FORMER_STDLIB = """
_winapi aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt distutils formatter imghdr imp
lib2to3 macpath msilib msvcrt nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol
telnetlib uu winreg winsound xdrlib BaseHTTPServer ConfigParser Cookie HTMLParser Queue
SimpleHTTPServer SocketServer StringIO Tkinter UserDict UserList UserString __builtin__ cPickle
cStringIO commands cookielib copy_reg exceptions htmlentitydefs httplib md5 new sets sha thread
tkMessageBox urllib2 urlparse xmlrpclib
"""


def package_of(module: str) -> str | None:
    """Return the name of the package on PyPI that provides a module; None if none is known.

    The longest prefix of the module's name that is listed decides.

    Args:
        module: A dotted name, e.g. `google.protobuf.text_format`.
    """
    parts = module.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((PACKAGES[name] for name in prefixes if name in PACKAGES), None)


def is_of_another_python(module: str) -> bool:
    """Return whether a module is of the standard library of some version or platform."""
    top = module.partition(".")[0]
    return top in _FORMER_STDLIB.split() or top in sys.stdlib_module_names
