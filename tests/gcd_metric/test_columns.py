"""Columns of coordinates are found by their names, and truth is never read as predictions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcd_metric.columns import find_columns

ASKS = "choose {}"


def pair(header, of="predictions", **chosen):
    found = find_columns(header.split(","), chosen, of=of, advice=ASKS)
    return found["latitude"], found["longitude"]


def refusal(header, of="predictions", **chosen):
    with pytest.raises(ValueError) as caught:
        pair(header, of, **chosen)
    return str(caught.value)


@pytest.mark.parametrize(
    ("header", "latitude", "longitude"),
    [
        ("img_id,gt_lat,predicted_lat,gt_long,predicted_long", "predicted_lat", "predicted_long"),
        ("id,gt_lat,gt_long,output_lat,output_lon", "output_lat", "output_lon"),
        ("id,lat_true,lon_true,lat,lon", "lat", "lon"),
        ("id,TrueLat,TrueLon,PredLat,PredLon", "PredLat", "PredLon"),
        ("id,latGT,lonGT,latPred,lonPred", "latPred", "lonPred"),
        ("id,LATgt,LONgt,LATpred,LONpred", "LATpred", "LONpred"),
        ("id,target_y,target_x,pred_y,pred_x", "pred_y", "pred_x"),
        ("id,label.lat,label.lng,Guess Lat,Guess Lng", "Guess Lat", "Guess Lng"),
        ("id,ref lat (deg),ref lon (deg),Lat [°],Lon [°]", "Lat [°]", "Lon [°]"),
        ("id,y_true,y_pred,lat_hat,lon_hat", "lat_hat", "lon_hat"),
        ("id,predlat,predlon,actual_lat,actual_lon", "predlat", "predlon"),
        ("id,pred_lat,predicted_lon", "pred_lat", "predicted_lon"),
        ("id,platform,long_side,latency,lat,lon", "lat", "lon"),
        ("id,latitude,longitude,latitude_std,longitude_std,model", "latitude", "longitude"),
    ],
)
def test_predictions_are_found_beside_the_truth(header, latitude, longitude):
    assert pair(header) == (latitude, longitude)


@pytest.mark.parametrize(
    "header",
    [
        "IMG_ID,LAT,LON,lat_predict,lon_predict",
        "IMG_ID,LAT,LON,lat_guess,lng_guess",
        "id,lat,lon,pred_y,pred_x",
        "id,latitude,longitude,latitude,longitude",
        "id,latitude,longitude,latitude.1,longitude.1",
        "id,latitude,lat,longitude,lon",
        "id,lat,lon,lat_ours,lon_ours",
        "id,lat,lon,plat,plon",
        "id,lat,lon,pred_lat,pred_lonn",
        "id,lat,lon,city_lat,city_lon",
        "id,lat1,lon1,lat2,lon2",
        "id,lat,lon,lat_rad_pred,lon_rad_pred",
    ],
)
def test_two_pairs_are_an_error(header):
    assert "several columns fit the latitude" in refusal(header)


@pytest.mark.parametrize("column", ["prediction", "pred_0", "output_coords", "pred_latlon"])
def test_predictions_without_an_axis_make_an_unmarked_pair_doubtful(column):
    assert f"may be in lat and lon, or in {column}" in refusal(f"id,lat,lon,{column}")
    assert pair(f"id,pred_lat,pred_lon,{column}") == ("pred_lat", "pred_lon")
    assert pair(f"id,lat,lon,{column}", "references") == ("lat", "lon")


def test_y_and_x_may_contain_the_predictions():
    header = "id,lat,lon,y,x"
    assert "may be in lat and lon, or in y, x" in refusal(header)
    assert pair(header, "references") == ("lat", "lon")
    assert pair(header, latitude="y") == ("y", "x")
    assert pair(header, longitude="lon") == ("lat", "lon")
    assert "forms a pair with y" in refusal("id,lat,lon,y", latitude="y")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,gt_lat,gt_lon", "no latitude of predictions, only gt_lat, marked as truth"),
        ("id,lat_true,lon_true,pred_lat", "no longitude of predictions, only lon_true"),
        ("id,pred_lat,lon", "pred_lat and lon do not look like a pair"),
        ("id,start_lat,end_lon", "start_lat and end_lon do not look like a pair"),
        ("id,x,y", "no column for the latitude among ['id', 'x', 'y']; choose latitude"),
    ],
)
def test_columns_without_a_pair_are_refused(header, message):
    assert message in refusal(header)


@pytest.mark.parametrize(
    ("header", "latitude", "longitude"),
    [
        ("id,gt_lat,predicted_lat,gt_long,predicted_long", "gt_lat", "gt_long"),
        ("IMG_ID,LAT,LON,lat_predict,lon_predict", "LAT", "LON"),
        ("id,lat,lon,true_lat,true_lon", "true_lat", "true_lon"),
        ("IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,Prob_indoor", "LAT", "LON"),
    ],
)
def test_references_prefer_columns_of_truth(header, latitude, longitude):
    assert pair(header, "references") == (latitude, longitude)
    assert "marked as prediction" in refusal("id,pred_lat,pred_lon", "references")


def test_the_partner_of_a_chosen_column_is_found():
    header = "img_id,gt_lat,predicted_lat,gt_long,predicted_long"
    assert pair(header, latitude="predicted_lat") == ("predicted_lat", "predicted_long")
    assert pair(header, longitude="PREDICTED_LONG") == ("predicted_lat", "predicted_long")
    assert pair("ID,LAT,LON,lat_p,lon_p", latitude="lat_p") == ("lat_p", "lon_p")
    assert pair("ID,LAT,LON,lat_p,lon_p", latitude="LAT") == ("LAT", "LON")
    assert pair("id,lat_a,lon_a,lat_b,lon_b,out_lat", longitude="lon_b") == ("lat_b", "lon_b")
    gone = "img_id,gt_lat,predicted_lat,gt_long"
    assert "forms a pair with predicted_lat" in refusal(gone, latitude="predicted_lat")
    assert "gt_long is named as the longitude" in refusal(header, latitude="gt_long")
    assert pair("id,lat,lon", latitude="lon", longitude="lat") == ("lon", "lat")
    assert "do not form a pair" in refusal(header, latitude="predicted_lat", longitude="gt_long")


@pytest.mark.parametrize("of", [None, "predictions"])
@pytest.mark.parametrize("twice", [("latitude", "longitude"), ("id", "latitude")])
def test_one_column_is_not_taken_twice(of, twice):
    chosen = dict.fromkeys(twice, "latitude")
    said = f"column latitude cannot be {' and '.join(twice)} at once; choose {twice[-1]}"
    assert said in refusal("image_id,latitude,longitude", of, **chosen)


def test_a_message_about_columns_stays_short():
    names = [f"column_{index}" + "_" * 200 for index in range(3000)]
    with pytest.raises(ValueError, match="and 2,991 more") as caught:
        find_columns(["id", *names])
    assert len(str(caught.value)) < 2000
    with pytest.raises(ValueError, match="several columns fit") as caught:
        find_columns(["id", *(f"{name}_lat" for name in names)])
    assert len(str(caught.value)) < 2000


# --- any names ----------------------------------------------------------------------------------

TRUTH = ["gt", "true", "truth", "target", "label", "ref", "reference", "actual", "ground_truth"]
PREDICTION = ["pred", "predicted", "predict", "guess", "output", "est", "model", "hat"]
AXES = [("lat", "lon"), ("latitude", "longitude"), ("lat", "lng"), ("Lat", "Long"), ("y", "x")]
STYLES = [
    lambda mark, axis: f"{mark}_{axis}",
    lambda mark, axis: f"{axis}_{mark}",
    lambda mark, axis: f"{axis} ({mark})",
    lambda mark, axis: f"{mark.upper()}.{axis.upper()}",
    lambda mark, axis: f"{mark}{axis.capitalize()}",
    lambda mark, axis: f"{axis}{mark.capitalize()}",
    lambda mark, axis: f" {mark}-{axis}_deg ",
]
OTHERS = st.sampled_from(["AUTHOR", "S3_Label", "distance", "platform", "long_side", "latency"])


@st.composite
def named(draw, marks):
    style, axes = draw(st.sampled_from(STYLES)), draw(st.sampled_from(AXES))
    mark = draw(st.sampled_from(marks))
    return [style(mark, axis) for axis in axes]


@given(
    truth=named(TRUTH) | st.sampled_from([["LAT", "LON"], ["latitude", "lng"]]),
    predicted=named(PREDICTION) | st.sampled_from([["lat_p", "lon_p"], ["lat9", "lon9"]]),
    others=st.lists(OTHERS, unique=True),
    data=st.data(),
)
def test_truth_columns_are_never_read_as_predictions(truth, predicted, others, data):
    names = data.draw(st.permutations(["id", *truth, *predicted, *others]))
    chosen = data.draw(
        st.sampled_from([{}, {"latitude": predicted[0]}, {"longitude": predicted[1]}])
    )
    try:
        found = find_columns(names, chosen, of="predictions")
    except ValueError:
        marked = truth[0] not in ("LAT", "latitude") and predicted[0] not in ("lat_p", "lat9")
        assert not marked, "both pairs are marked, so nothing is unclear"
    else:
        assert [found["latitude"], found["longitude"]] == predicted
    try:
        found = find_columns(names, of="references")
    except ValueError:
        return
    assert [found["latitude"], found["longitude"]] == truth


@pytest.mark.parametrize(
    "others",
    [
        "ypred,xpred",
        "yhat,xhat",
        "predy,predx",
        "pred_northing,pred_easting",
        "predicted_place,score",
        "answer_0,answer_1",
        "prediction_json",
        "pred_a,pred_b",
        "response",
        "p0,p1",
    ],
)
def test_truth_is_not_read_beside_possible_predictions(others):
    assert "the predictions may be in lat and lon, or in" in refusal(f"image_id,lat,lon,{others}")
    assert pair(f"image_id,lat,lon,{others}", of="references") == ("lat", "lon")
    chosen = {"latitude": "lat", "longitude": "lon"}
    assert pair(f"image_id,lat,lon,{others}", **chosen) == ("lat", "lon")
